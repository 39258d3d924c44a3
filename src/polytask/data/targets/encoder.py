"""The labels of a table as one float32 array (B, T), NaN where there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import TypeAdapter

from polytask.columns.serial import from_record, to_record
from polytask.data.readers import require_columns
from polytask.data.targets.labels import fit_target, label_values, require_variety
from polytask.data.targets.relation import (
    conflict_message,
    conflicting,
    joint_labels,
    parents_first,
    too_many_conflicts,
)
from polytask.data.targets.target import FittedTarget, Target
from polytask.errors import UserError, nearest

GivenConflict = Literal["stop", "drop", "keep-child", "ignore-relation"]

FORMAT = "polytask-targets"
VERSION = 1


@dataclass(frozen=True, slots=True)
class LabelCount:
    """How one task is labelled in one table: rows with a label, rows of a class that the training
    rows lack (no label there), rows that are yes for the child and no for its parent."""

    name: str
    labelled: int
    unseen: int
    conflicts: int


class _Encoded(NamedTuple):
    labels_BT: NDArray[np.float32]
    counts: tuple[LabelCount, ...]


@dataclass(frozen=True, slots=True)
class TargetEncoder:
    """Label columns -> labels_BT, fitted on the training rows.

    A target with `given` gets the joint label (see `joint_labels`), its parent's own relation
    applied before. `given_conflict` says what stands where the child is yes and the parent no:
    0 ("stop", where there were few of them), missing ("drop"), or 1 ("keep-child").
    """

    targets: tuple[FittedTarget, ...]
    given_conflict: GivenConflict = "stop"

    @classmethod
    def fit(
        cls,
        train_table: pa.Table,
        targets: Sequence[Target],
        *,
        given_conflict: GivenConflict = "stop",
    ) -> "TargetEncoder":
        """Conditions, classes and scales of the training rows.

        UserErrors: a column that is missing, constant or unlabelled, a YES that never occurs,
        text or infinities where numbers are due, and child-parent conflicts above 0.1 % of the
        labelled rows unless `given_conflict` resolves them. "ignore-relation" cuts the relations
        with too many conflicts and leaves the others.
        """
        if not targets:
            raise UserError("at least one task is needed")
        names = [target.name for target in targets]
        if len(set(names)) < len(names):
            raise UserError(f"task names must differ, but they are {names}")
        order = parents_first(tuple(targets))
        require_columns(train_table, [target.column for target in targets], "the tasks")
        fitted = [fit_target(target, train_table[target.column]) for target in targets]
        labels: dict[str, NDArray[np.float64]] = {}
        for index in order:
            fitted[index] = _settled(fitted[index], train_table, labels, given_conflict)
            target = fitted[index].target
            labels_B, _ = _label(fitted[index], train_table, labels, given_conflict)
            require_variety(target, labels_B[~np.isnan(labels_B)])
            labels[target.name] = labels_B
        return cls(tuple(fitted), given_conflict)

    def encode(self, table: pa.Table) -> NDArray[np.float32]:
        """Labels (B, T): 0 or 1, class index, standardised value, or count; NaN = not labelled."""
        return self._encode(table).labels_BT

    def count_labels(self, table: pa.Table) -> tuple[LabelCount, ...]:
        """Per task: labelled rows, rows of an unseen class, rows where child and parent disagree."""
        return self._encode(table).counts

    def decode(self, name: str, prediction: NDArray[np.floating]) -> NDArray[np.float64]:
        """Predictions of the named task in the label's own unit."""
        for fitted in self.targets:
            if fitted.name == name:
                return fitted.decode(prediction)
        raise UserError(
            f"unknown task {name!r}{nearest(name, (each.name for each in self.targets))}"
        )

    def to_dict(self) -> dict[str, object]:
        """What `json.dumps` can write, with format and version."""
        return to_record(_adapter, self, format_name=FORMAT, version=VERSION)

    @classmethod
    def from_dict(cls, data: dict[str, object]) -> "TargetEncoder":
        """The encoder of `to_dict`; foreign or newer data is a UserError."""
        return from_record(_adapter, data, format_name=FORMAT, version=VERSION)

    def _encode(self, table: pa.Table) -> _Encoded:
        require_columns(table, [fitted.target.column for fitted in self.targets], "the tasks")
        labels: dict[str, NDArray[np.float64]] = {}
        counts: dict[str, LabelCount] = {}
        for index in parents_first(tuple(fitted.target for fitted in self.targets)):
            name = self.targets[index].name
            labels[name], counts[name] = _label(
                self.targets[index], table, labels, self.given_conflict
            )
        labels_BT = np.empty((table.num_rows, len(self.targets)), dtype=np.float32)
        for index, fitted in enumerate(self.targets):
            labels_BT[:, index] = labels[fitted.name]
        return _Encoded(labels_BT, tuple(counts[fitted.name] for fitted in self.targets))


def _settled(
    fitted: FittedTarget,
    table: pa.Table,
    labels: Mapping[str, NDArray[np.float64]],
    given_conflict: GivenConflict,
) -> FittedTarget:
    """The target with its relation kept or cut; UserError where the user has to choose."""
    target = fitted.target
    if target.given is None or given_conflict in ("drop", "keep-child"):
        return fitted
    child_B = label_values(fitted, table[target.column]).values_B
    parent_B = labels[target.given]
    if not too_many_conflicts(child_B, parent_B):
        return fitted
    if given_conflict == "stop":
        raise UserError(conflict_message(target, child_B, parent_B))
    return replace(fitted, target=replace(target, given=None))


def _label(
    fitted: FittedTarget,
    table: pa.Table,
    labels: Mapping[str, NDArray[np.float64]],
    given_conflict: GivenConflict,
) -> tuple[NDArray[np.float64], LabelCount]:
    """The labels of one target whose parent's labels are there already, and their counts."""
    labels_B, num_unseen = label_values(fitted, table[fitted.target.column])
    num_conflicts = 0
    if fitted.target.given is not None:
        parent_B = labels[fitted.target.given]
        num_conflicts = int(np.count_nonzero(conflicting(labels_B, parent_B)))
        labels_B = joint_labels(
            labels_B, parent_B, conflict_label=_conflict_labels.get(given_conflict, 0.0)
        )
    num_labelled = int(np.count_nonzero(~np.isnan(labels_B)))
    return labels_B, LabelCount(fitted.name, num_labelled, num_unseen, num_conflicts)


_conflict_labels = {"drop": float("nan"), "keep-child": 1.0}
_adapter = TypeAdapter(TargetEncoder)
