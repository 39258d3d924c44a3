"""Predictions of more rows than memory holds: dealt onto disk at random, scored a part at a time."""

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

import numpy as np
from numpy.typing import NDArray

from polytask.columns.hashing import mixed
from polytask.fitting.comparing.score import conditional_rows, noted, rows_by_task
from polytask.metrics import PartRows, compare_parts, evaluate_parts
from polytask.records import Evaluation, Gain
from polytask.streams import Batch
from polytask.task import Task
from polytask.training.evaluation import Predictions
from polytask.training.scoring import TaskRows

PART_ROWS = 1 << 21
"""Rows that are scored at once: their metrics and intervals take some 300 bytes a row."""


def num_parts_of(num_rows: int) -> int:
    """In so many random parts are rows scored."""
    return max(-(-num_rows // PART_ROWS), 1)


@dataclass(eq=False)
class SpooledRows:
    """One task's `TaskRows`, in random parts: whole groups where there are groups, else single rows.

    The files have no name: they are gone with the process, however it ends.
    """

    num_parts: int
    like: TaskRows | None = None
    files: list[IO[bytes]] = field(default_factory=list)
    dtype: np.dtype[np.void] | None = None

    def add(self, rows: TaskRows, row_B: NDArray[np.int64]) -> None:
        """Some rows, and their numbers in the table."""
        if self.dtype is None:
            self.dtype, self.like = _dtype_of(rows), rows
            for _ in range(self.num_parts):
                self.files.append(tempfile.TemporaryFile(prefix="polytask-"))  # noqa: SIM115 (they live as long as this)
        records_B = np.empty(len(rows.labels), self.dtype)
        for name in self.dtype.names or ():
            records_B[name] = getattr(rows, name)
        keys_B = row_B if rows.groups is None else rows.groups
        part_B = mixed(keys_B.astype(np.uint64), 0) % np.uint64(self.num_parts)
        for part, file in enumerate(self.files):
            file.write(records_B[part_B == part].tobytes())

    def evaluate(self, *, intervals: bool = True) -> Evaluation:
        """As of `TaskRows`."""
        assert self.like is not None
        return evaluate_parts(self.like.task.kind, self._parts(), intervals=intervals)

    def gain_over(self, theirs: "SpooledRows") -> tuple[Gain, ...]:
        """As of `TaskRows`: both were added in the same order."""
        assert self.like is not None
        return compare_parts(self.like.task.kind, zip(self._parts(), theirs._parts(), strict=True))

    def _parts(self) -> Iterator[PartRows]:
        assert self.dtype is not None
        for file in self.files:
            file.flush()
            file.seek(0)
            records_B = np.fromfile(file, self.dtype)
            found = {name: records_B[name] for name in self.dtype.names or ()}
            yield PartRows(**found)


class Spool:
    """What a model predicts of a table, by task: `add` pieces of it, then `score`.

    >>> import torch
    >>> from polytask.task import binary
    >>> spool = Spool(num_rows=4)
    >>> labels = {"click": torch.tensor([0.0, 1.0])}
    >>> for first in (0, 2):
    ...     rows = Batch({"x": torch.zeros(2)}, labels, rows=torch.tensor([first, first + 1]))
    ...     spool.add([binary("click")], Predictions({"click": np.array([0.3, 0.6])}, {}), rows)
    >>> spool.score(intervals=False)["click"]["auc"].value
    1.0
    """

    def __init__(self, num_rows: int) -> None:
        num_parts = num_parts_of(num_rows)
        self.by_task: defaultdict[str, SpooledRows] = defaultdict(lambda: SpooledRows(num_parts))
        self.conditional: defaultdict[str, SpooledRows] = defaultdict(
            lambda: SpooledRows(num_parts)
        )

    def add(self, tasks: Sequence[Task], predictions: Predictions, table: Batch) -> None:
        """Predictions of some rows, which have numbers."""
        assert table.rows is not None
        row_B = table.rows.numpy()
        for name, rows in rows_by_task(tasks, predictions, table).items():
            self.by_task[name].add(rows, row_B)
            given = conditional_rows(rows, predictions, table)
            if given is not None:
                self.conditional[name].add(given, row_B)

    def score(
        self, *, intervals: bool = True, notes: Mapping[str, str] | None = None
    ) -> dict[str, Evaluation]:
        """As `score_tasks`."""
        found = {}
        for name, rows in self.by_task.items():
            given = self.conditional.get(name)
            conditional = None if given is None else given.evaluate(intervals=intervals)
            evaluation = rows.evaluate(intervals=intervals)
            found[name] = noted(evaluation, note=(notes or {}).get(name), conditional=conditional)
        return found


def _dtype_of(rows: TaskRows) -> np.dtype[np.void]:
    arrays = {name: getattr(rows, name) for name in ("predictions", "labels", "weights", "groups")}
    fields = [(n, each.dtype, each.shape[1:]) for n, each in arrays.items() if each is not None]
    return np.dtype(fields)
