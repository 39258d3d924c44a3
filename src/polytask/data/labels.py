"""The labels of a table as one float32 array (B, T), NaN where there is none."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from polytask.choices import GivenConflict as GivenConflict
from polytask.columns.required import require_columns
from polytask.columns.words import Words, is_list, words_of
from polytask.errors import UserError
from polytask.files.serial import from_record, to_record
from polytask.kinds import Kind, Labels
from polytask.kinds.columns import label_column
from polytask.kinds.kind import Floats
from polytask.kinds.reading import require_variety
from polytask.task import Task, parents_first

FORMAT = "polytask-labels"
VERSION = 1

_LARGEST_NOISE = 0.001
"""Up to this share of the labelled rows may be yes for the child and no for the parent."""
_AT_CONFLICT: Mapping[GivenConflict, float] = {
    "stop": 0.0,
    "drop": math.nan,
    "keep-child": 1.0,
    "ignore-relation": 0.0,
}
"""What stands in such rows."""


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
    """Labels (B, T), and how each task is labelled.

    Tasks with a label a word have none there, but in `words` by name: (B, L), NaN behind a row's end.
    """

    labels_BT: NDArray[np.float32]
    counts: tuple[LabelCount, ...]
    words: Mapping[str, NDArray[np.float32]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LabelEncoder:
    """Label columns -> labels_BT, by tasks whose kinds were fitted on the training rows.

    A task with `given` gets the joint label of ESMM, 0 where its parent is 0, the parent's own
    relation applied before. `given_conflict` says what stands where the child is yes and the parent
    no: 0 ("stop", where there were few of them), missing ("drop"), or 1 ("keep-child"). `missing`
    are values of label columns that mean: not labelled.

    >>> from polytask.task import binary
    >>> table = pa.table({"click": [1, 0, 1], "buy": ["no", None, "yes"]})
    >>> fitted = LabelEncoder.fit(table, [binary("click"), binary("buy", given="click")])
    >>> fitted.encode(table).labels_BT.tolist()
    [[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
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
        order = parents_first(tasks)
        require_columns(train_table, [task.column for task in tasks], "the tasks")
        fitted = list(tasks)
        labels: dict[str, Floats] = {}
        for index in order:
            column = train_table[fitted[index].column]
            task = replace(fitted[index], per_word=has_a_label_a_word(fitted[index].kind, column))
            column = label_column(_words(task, column).values_N, missing)
            task = replace(task, kind=task.kind.fit(column, task.what))
            own_B = task.kind.encode(column, task.what).values_B
            task = _settled(task, own_B, labels, given_conflict)
            labels[task.name] = _joint(task, own_B, labels, given_conflict)
            fitted[index] = _started(task, labels)
        return cls(tuple(fitted), given_conflict, tuple(missing))

    def encode(self, table: pa.Table) -> Encoded:
        """Labels as the tasks' kinds have them (0 or 1, class index, standardised value, count)."""
        require_columns(table, [task.column for task in self.tasks], "the tasks")
        labels: dict[str, Floats] = {}
        counts: dict[str, LabelCount] = {}
        rows: dict[str, NDArray[np.float32]] = {}
        for index in parents_first(self.tasks):
            task = self.tasks[index]
            words = _words(task, table[task.column])
            own = task.kind.encode(label_column(words.values_N, self.missing), task.what)
            labels[task.name] = _joint(task, own.values_B, labels, self.given_conflict)
            counts[task.name] = _count(task, own, labels)
            if task.per_word:
                rows[task.name] = _as_rows(labels[task.name], words.lengths_B)
        labels_BT = np.full((table.num_rows, len(self.tasks)), np.nan, dtype=np.float32)
        for index, task in enumerate(self.tasks):
            if not task.per_word:
                labels_BT[:, index] = labels[task.name]
        return Encoded(labels_BT, tuple(counts[task.name] for task in self.tasks), rows)

    def to_dict(self) -> dict[str, object]:
        """What `json.dumps` can write, with format and version."""
        return to_record(_adapter, self, format_name=FORMAT, version=VERSION)

    @classmethod
    def from_dict(cls, data: object) -> "LabelEncoder":
        """The encoder of `to_dict`; foreign or newer data is a UserError."""
        found = from_record(_adapter, data, format_name=FORMAT, version=VERSION)
        parents_first(found.tasks)
        return found


_adapter = TypeAdapter(LabelEncoder)


def has_a_label_a_word(kind: Kind | None, column: pa.ChunkedArray) -> bool:
    """Whether a column of labels has one for each word of a row: it holds lists, or the kind splits its texts."""
    return is_list(column.type) or (kind is not None and kind.splits_texts)


def _words(task: Task, column: pa.ChunkedArray) -> Words:
    """The labels, one a row, or one a word."""
    if task.per_word:
        return words_of(column, task.what)
    return Words(column, np.ones(len(column), dtype=np.int64))


def _as_rows(labels_N: Floats, lengths_B: NDArray[np.int64]) -> NDArray[np.float32]:
    """Labels of words as (B, L), NaN behind the end of a row."""
    labels_BL = np.full((len(lengths_B), int(lengths_B.max(initial=0))), np.nan, dtype=np.float32)
    labels_BL[np.arange(labels_BL.shape[1]) < lengths_B[:, None]] = labels_N
    return labels_BL


def _settled(task: Task, own_B: Floats, labels: Mapping[str, Floats], at: GivenConflict) -> Task:
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
    number = np.count_nonzero(_conflicts(own_B, parent_B))
    num_labelled = np.count_nonzero(~np.isnan(own_B) & ~np.isnan(parent_B))
    if at in ("drop", "keep-child") or number <= _LARGEST_NOISE * num_labelled:
        return task
    if at == "ignore-relation":
        return replace(task, given=None)
    num_yes = np.count_nonzero((own_B == 1) & ~np.isnan(parent_B))
    child, parent = repr(task.name), repr(task.given)
    raise UserError(
        f"task {child} is given {parent}, but {number:,} training rows have {child} yes and "
        f"{parent} no: {number / num_labelled:.2%} of the labelled rows (up to "
        f"{_LARGEST_NOISE:.1%} is taken for noise), {number / num_yes:.1%} of the yes rows. "
        f"Choose a --given-conflict: drop ({child} is missing in these rows), keep-child (it stays "
        f"yes there), or ignore-relation ({child} becomes an ordinary binary task)"
    )


def _started(task: Task, labels: Mapping[str, Floats]) -> Task:
    """A task with `given`: its own output, p(child | parent), starts where the parent is yes."""
    if task.given is None:
        return task
    labels_B = labels[task.name]
    require_variety(labels_B, task.what, names=("no", "yes"))
    kind: Kind = task.kind.starting_at(labels_B[labels[task.given] == 1])
    return replace(task, kind=kind)


def _joint(task: Task, own_B: Floats, labels: Mapping[str, Floats], at: GivenConflict) -> Floats:
    """0 where the parent is 0, missing where the parent is missing, else the task's own label.

    Source: Ma et al., SIGIR 2018 (ESMM), section 2.2: conversion is click and conversion, on all
    impressions.
    """
    if task.given is None:
        return own_B
    parent_B = labels[task.given]
    labels_B = np.where(parent_B == 1, own_B, parent_B)
    labels_B[_conflicts(own_B, parent_B)] = _AT_CONFLICT[at]
    return labels_B


def _conflicts(child_B: Floats, parent_B: Floats) -> NDArray[np.bool_]:
    """Rows that are yes for the child and no for the parent."""
    found: NDArray[np.bool_] = (child_B == 1) & (parent_B == 0)
    return found


def _count(task: Task, own: Labels, labels: Mapping[str, Floats]) -> LabelCount:
    is_labelled_B = task.kind.is_labelled(torch.tensor(labels[task.name])).numpy()
    parent_B = None if task.given is None else labels[task.given]
    conflicts = 0 if parent_B is None else np.count_nonzero(_conflicts(own.values_B, parent_B))
    return LabelCount(
        task.name, int(is_labelled_B.sum()), own.num_unseen, int(conflicts), own.example
    )
