"""The labels of a table as one float32 array (B, T), NaN where there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from polytask.choices import GivenConflict as GivenConflict
from polytask.columns.serial import from_record
from polytask.data.readers import require_columns
from polytask.data.relation import (
    conflict_message,
    conflicting,
    joint_labels,
    parents_first,
    too_many_conflicts,
)
from polytask.errors import UserError
from polytask.kinds import Kind, kind_from_record, kind_to_record
from polytask.kinds.columns import label_column
from polytask.kinds.kind import Labels
from polytask.kinds.reading import require_variety
from polytask.task import Task, check_tasks

FORMAT = "polytask-labels"
VERSION = 1


@dataclass(frozen=True, slots=True)
class LabelCount:
    """How one task is labelled in one table: rows with a label, rows of a class that the training
    rows lack and an example of it, rows that are yes for the child and no for its parent."""

    name: str
    labelled: int
    unseen: int
    conflicts: int
    unseen_example: str | None = None


class Encoded(NamedTuple):
    """Labels (B, T), and how each task is labelled."""

    labels_BT: NDArray[np.float32]
    counts: tuple[LabelCount, ...]


@dataclass(frozen=True, slots=True)
class LabelEncoder:
    """Label columns -> labels_BT, by tasks whose kinds were fitted on the training rows.

    A task with `given` gets the joint label (see `joint_labels`), its parent's own relation
    applied before. `given_conflict` says what stands where the child is yes and the parent no:
    0 ("stop", where there were few of them), missing ("drop"), or 1 ("keep-child"). `missing` are
    values of label columns that mean: not labelled.
    """

    tasks: tuple[Task, ...]
    given_conflict: GivenConflict = "stop"
    missing: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        train_table: pa.Table,
        tasks: Sequence[Task],
        *,
        given_conflict: GivenConflict = "stop",
        missing: Sequence[str] = (),
    ) -> "LabelEncoder":
        """Conditions, classes and scales of the training rows.

        UserErrors: a column that is missing, constant or unlabelled, a YES that never occurs,
        text or infinities where numbers are due, and child-parent conflicts above 0.1 % of the
        labelled rows unless `given_conflict` resolves them. "ignore-relation" cuts the relations
        with too many conflicts and leaves the others.
        """
        if not tasks:
            raise UserError("at least one task is needed")
        names = [task.name for task in tasks]
        if len(set(names)) < len(names):
            raise UserError(f"task names must differ, but they are {names}")
        order = parents_first(tuple(tasks))
        require_columns(train_table, [task.column for task in tasks], "the tasks")
        fitted = list(tasks)
        labels: dict[str, NDArray[np.float64]] = {}
        for index in order:
            task = fitted[index]
            column = label_column(train_table[task.column], missing)
            task = replace(task, kind=task.kind.fit(column, task.what))
            own_B = task.kind.encode(column, task.what).values_B
            task = _settled(task, own_B, labels, given_conflict)
            labels[task.name] = _joint(task, own_B, labels, given_conflict)
            fitted[index] = _started(task, labels)
        return cls(tuple(fitted), given_conflict, tuple(missing))

    def encode(self, table: pa.Table) -> Encoded:
        """Labels as the tasks' kinds have them (0 or 1, class index, standardised value, count)."""
        require_columns(table, [task.column for task in self.tasks], "the tasks")
        labels: dict[str, NDArray[np.float64]] = {}
        counts: dict[str, LabelCount] = {}
        for index in parents_first(self.tasks):
            task = self.tasks[index]
            column = label_column(table[task.column], self.missing)
            own = task.kind.encode(column, task.what)
            labels[task.name] = _joint(task, own.values_B, labels, self.given_conflict)
            counts[task.name] = _count(task, own, labels)
        labels_BT = np.empty((table.num_rows, len(self.tasks)), dtype=np.float32)
        for index, task in enumerate(self.tasks):
            labels_BT[:, index] = labels[task.name]
        return Encoded(labels_BT, tuple(counts[task.name] for task in self.tasks))

    def to_dict(self) -> dict[str, object]:
        """What `json.dumps` can write, with format and version."""
        tasks = [
            {
                "name": task.name,
                "column": task.column,
                "kind": kind_to_record(task.kind),
                "given": task.given,
                "auxiliary": task.auxiliary,
            }
            for task in self.tasks
        ]
        return {
            "format": FORMAT,
            "version": VERSION,
            "tasks": tasks,
            "given_conflict": self.given_conflict,
            "missing": list(self.missing),
        }

    @classmethod
    def from_dict(cls, data: object) -> "LabelEncoder":
        """The encoder of `to_dict`; foreign or newer data is a UserError."""
        record = from_record(_adapter, data, format_name=FORMAT, version=VERSION)
        try:
            tasks = tuple(
                Task(
                    name=task.name,
                    column=task.column,
                    kind=kind_from_record(task.kind),
                    given=task.given,
                    auxiliary=task.auxiliary,
                )
                for task in record.tasks
            )
            check_tasks(tasks)
        except ValueError as error:
            raise UserError(f"damaged {FORMAT!r} record: {error}") from error
        return cls(tasks, record.given_conflict, record.missing)


@dataclass(frozen=True, slots=True)
class _TaskRecord:
    name: str
    column: str
    kind: dict[str, object]
    given: str | None
    auxiliary: bool


@dataclass(frozen=True, slots=True)
class _EncoderRecord:
    tasks: tuple[_TaskRecord, ...]
    given_conflict: GivenConflict
    missing: tuple[str, ...]


def _settled(
    task: Task,
    own_B: NDArray[np.float64],
    labels: Mapping[str, NDArray[np.float64]],
    given_conflict: GivenConflict,
) -> Task:
    """The task with its relation kept or cut; UserError where the user has to choose."""
    if task.given is None:
        return task
    parent_B = labels[task.given]
    for name, values_B in ((task.name, own_B), (task.given, parent_B)):
        if ((values_B > 0) & (values_B < 1)).any():
            raise UserError(
                f"task {task.name!r} is given {task.given!r}, which needs yes or no, but the labels "
                f"of {name!r} are probabilities"
            )
    if given_conflict in ("drop", "keep-child") or not too_many_conflicts(own_B, parent_B):
        return task
    if given_conflict == "stop":
        raise UserError(conflict_message(task, own_B, parent_B))
    return replace(task, given=None)


def _started(task: Task, labels: Mapping[str, NDArray[np.float64]]) -> Task:
    """A task with `given`: its own output, p(child | parent), starts where the parent is yes."""
    if task.given is None:
        return task
    labels_B = labels[task.name]
    require_variety(labels_B, task.what, names=("no", "yes"))
    kind: Kind = task.kind.starting_at(labels_B[labels[task.given] == 1])
    return replace(task, kind=kind)


def _joint(
    task: Task,
    own_B: NDArray[np.float64],
    labels: Mapping[str, NDArray[np.float64]],
    given_conflict: GivenConflict,
) -> NDArray[np.float64]:
    """The labels of one task whose parent's labels are there already."""
    if task.given is None:
        return own_B
    conflict_label = _conflict_labels.get(given_conflict, 0.0)
    return joint_labels(own_B, labels[task.given], conflict_label=conflict_label)


def _count(task: Task, own: Labels, labels: Mapping[str, NDArray[np.float64]]) -> LabelCount:
    is_conflict_B = False if task.given is None else conflicting(own.values_B, labels[task.given])
    labels_B = labels[task.name]
    is_labelled_B = task.kind.is_labelled(torch.tensor(labels_B)).numpy()
    return LabelCount(
        task.name,
        int(np.count_nonzero(is_labelled_B)),
        own.num_unseen,
        int(np.count_nonzero(is_conflict_B)),
        own.example,
    )


_conflict_labels = {"drop": float("nan"), "keep-child": 1.0}
_adapter = TypeAdapter(_EncoderRecord)
