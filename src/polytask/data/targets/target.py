"""A label as the user names it, and as it was fitted on the training rows."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.columns.values import coded
from polytask.data.targets.conditions import Condition
from polytask.errors import UserError

TargetKind = Literal["binary", "multiclass", "regression", "count"]

_MOST_CLASSES_OF_INTEGERS = 20
"""An integer column with more different values is taken for a quantity."""


@dataclass(frozen=True, slots=True)
class Target:
    """One label: a column, its kind, what counts as yes, and the task it is a consequence of.

    `positive` is the YES text of a binary label, verbatim: VALUE, A|B|C, >=N, >N, <=N, <N.
    `transform` of a regression's label is undone in `decode`. `given` names the parent target.
    """

    name: str
    column: str
    kind: TargetKind
    positive: str | None = None
    transform: Literal["log1p"] | None = None
    given: str | None = None

    def __post_init__(self) -> None:
        wrong = {
            "a YES value": self.positive is not None and self.kind != "binary",
            "--given": self.given is not None and self.kind != "binary",
            "--transform": self.transform is not None and self.kind != "regression",
        }
        for option, is_wrong in wrong.items():
            if is_wrong:
                needed = "regression" if option == "--transform" else "binary"
                raise UserError(
                    f"task {self.name!r} is {self.kind}, but {option} is for {needed} tasks"
                )

    @property
    def what(self) -> str:
        """How errors name it."""
        return f"task {self.name!r} (column {self.column!r})"


@dataclass(frozen=True, slots=True)
class FittedTarget:
    """A target with what the training rows said.

    Binary: `condition`, or the two `classes` no and yes. Multiclass: `classes`, ascending.
    Regression: `mean` and `std` of the transformed label.
    """

    target: Target
    condition: Condition | None = None
    classes: tuple[bool, ...] | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def num_classes(self) -> int:
        """Classes of a multiclass target, 2 for a binary one, else 0."""
        return 2 if self.target.kind == "binary" else len(self.classes)

    def decode(self, prediction: NDArray[np.floating]) -> NDArray[np.float64]:
        """A regression's prediction in the label's own unit; other kinds unchanged."""
        values = np.asarray(prediction, dtype=np.float64)
        if self.target.kind != "regression":
            return values
        values = values * self.std + self.mean
        return np.expm1(values) if self.target.transform == "log1p" else values


def infer_kind(column: pa.ChunkedArray) -> tuple[TargetKind, str]:
    """The kind that a label column suggests, and the reason in words.

    Two values are binary even where they do not say which is yes: `TargetEncoder.fit` asks then.
    """
    dtype = column.type
    if pa.types.is_boolean(dtype):
        return "binary", "true or false"
    if pa.types.is_floating(dtype) or pa.types.is_decimal(dtype):
        different = pc.unique(column.cast(pa.float64()).drop_null()).to_numpy()
        if set(different[~np.isnan(different)]) == {0.0, 1.0}:
            return "binary", "0 or 1"
        return "regression", f"numbers with a fraction's type ({dtype})"
    return _kind_of_values(column)


def _kind_of_values(column: pa.ChunkedArray) -> tuple[TargetKind, str]:
    values = coded(column, "the label")
    occurring = values.values.filter(pa.array(values.counts() > 0)).to_pylist()
    number = len(occurring)
    if number == 2:
        if set(occurring) == {0, 1}:
            return "binary", "0 or 1"
        return "binary", f"two values, {occurring[0]!r} and {occurring[1]!r}"
    different = f"{number:,} different value{'s' if number != 1 else ''}"
    if values.kind == "text":
        return "multiclass", f"text with {different}"
    if number <= _MOST_CLASSES_OF_INTEGERS:
        return "multiclass", f"integers with {different}"
    return "regression", f"integers with {different}"
