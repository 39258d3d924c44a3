"""Plans: every model of a fit, known before the first one is trained."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from polytask.auxiliary import Auxiliary
from polytask.config import FitConfig
from polytask.fitting.preparing.data_sets import DataSet
from polytask.streams import (
    Augmentation,
    Batch,
    InMemoryStream,
    LaneStream,
    Mixture,
    StoredRows,
    Stream,
    with_augmented,
)
from polytask.task import Task

MULTI_TASK = "multi-task"
PRE_TRAINING = "pre-training"

Role = Literal["main", "baseline", "stage", "member", "with", "without"]


@dataclass(frozen=True, slots=True)
class From:
    """The weights that a model begins with: those of another run, or of an earlier plan by name."""

    source: Path | str


@dataclass(frozen=True, slots=True, eq=False)
class ModelPlan:
    """One model to be trained: its tasks, its rows, its options, and where it starts.

    The `main` model is the run's; a `baseline` is compared with it; a `stage` is there for the
    plans that start `From` it, and is not reported; a `member` is one of the networks whose outputs
    are averaged with those of a later plan, which names them in its `bag`. `held_out_apart` are the
    rows that its members are validated on, where they are others than `valid`. `with` and `without` are the main model once more,
    with and without what is auxiliary. `config` holds the options of this model.
    """

    name: str
    role: Role
    config: FitConfig
    tasks: tuple[Task, ...]
    train: Batch
    valid: Batch | None
    test: Batch | None
    start: From | None = None
    auxiliaries: tuple[Auxiliary, ...] = ()
    augmented: Mapping[str, Augmentation] = field(default_factory=dict)
    data_sets: tuple[DataSet, ...] = ()
    batches: tuple[int, ...] = ()
    lengths_B: Tensor | None = None
    stored: StoredRows | None = None
    stored_test: StoredRows | None = None
    bag: tuple[str, ...] = ()
    held_out_apart: tuple[Batch, ...] = ()

    @property
    def held_out(self) -> dict[str, Batch]:
        """The rows that are not trained on, by part."""
        parts = {"valid": self.valid, "test": self.test}
        return {name: rows for name, rows in parts.items() if rows is not None}

    def stream(self) -> Stream:
        """The training rows in batches, with what extra losses need; of several data sets each has
        `batches` of an epoch."""
        if self.data_sets:
            parts = [each.rows["train"] for each in self.data_sets]
            streams = [self._batched(self._numbered(rows), self._lengths(rows)) for rows in parts]
            stream: Stream = Mixture(streams, batches=self.batches)
        elif self.stored is not None:
            assert self.config.batch_size is not None
            stream = with_augmented(LaneStream(self.stored, self.config.batch_size), self.augmented)
        else:
            stream = self._batched(self.train, self.lengths_B)
        for auxiliary in self.auxiliaries:
            stream = auxiliary.extend(stream)
        return stream

    @property
    def num_train(self) -> int:
        """How many rows there are to train on."""
        return len(self.train if self.stored is None else self.stored)

    @property
    def num_steps(self) -> int:
        """The steps of all epochs."""
        assert self.config.epochs is not None
        return self.stream().num_batches(0) * self.config.epochs

    def tasks_and_rows(
        self, part: str, tasks: Sequence[Task]
    ) -> Iterator[tuple[list[Task], slice]]:
        """The tasks that are scored on the same rows of a part, and these rows."""
        if not self.data_sets:
            yield list(tasks), slice(None)
        for each in self.data_sets:
            rows = each.rows.get(part, range(0))
            own = [task for task in tasks if task.name in each.tasks]
            if rows:
                yield own, slice(rows.start, rows.stop)

    def _lengths(self, rows: range) -> Tensor | None:
        return None if self.lengths_B is None else self.lengths_B[rows.start : rows.stop]

    def _batched(self, rows: Batch, lengths_B: Tensor | None) -> Stream:
        assert self.config.batch_size is not None
        stream = InMemoryStream(rows, self.config.batch_size, lengths_B=lengths_B)
        return with_augmented(stream, self.augmented)

    def _numbered(self, rows: range) -> Batch:
        """Rows that keep the numbers which they have among those of all data sets."""
        numbers = torch.arange(rows.start, rows.stop)
        return replace(self.train[rows.start : rows.stop], rows=numbers)


def check_order(plans: Sequence[ModelPlan]) -> None:
    """ValueError unless names differ, one plan is the main one, and starts lie before."""
    names = [plan.name for plan in plans]
    if len(set(names)) < len(names):
        raise ValueError(f"plans must have different names, but they are {names}")
    if sum(plan.role == "main" for plan in plans) != 1:
        raise ValueError(f"one plan must be the main one, but {[plan.role for plan in plans]}")
    for place, plan in enumerate(plans):
        source = None if plan.start is None else plan.start.source
        if isinstance(source, str) and source not in names[:place]:
            raise ValueError(f"plan {plan.name!r} starts from {source!r}, which is none before it")
