"""A label column -> class indices, counts, or numbers, with words for what is wrong with it."""

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from polytask.columns.numbers import finite_numbers, first_number
from polytask.columns.values import Coded, Value, converted, positions, value_array, value_kind
from polytask.errors import UserError
from polytask.kinds.kind import Floats, Labels

_TOO_LARGE = 1e140
"""Squares of larger numbers, and sums of them, leave float64."""
Transform = Literal["log1p"]
_LARGEST_LOG = 300.0
"""exp() of more would leave float64 when squared."""


def class_indices(column: Coded, classes: tuple[Value, ...], what: str, *, unseen: float) -> Labels:
    """The position of each value among `classes`; `unseen` where it is not there."""
    among = value_array(classes)
    values = converted(column, value_kind(among.type), what)
    index = positions(values, among).astype(np.float64)
    is_unseen_B = column.spread(index < 0, missing=0)
    index[index < 0] = unseen
    example = None
    if is_unseen_B.any():
        example = repr(column.values[int(column.codes_B[np.argmax(is_unseen_B)])].as_py())
    return Labels(column.spread(index, missing=np.nan), int(is_unseen_B.sum()), example)


def counts(column: pa.ChunkedArray, what: str) -> Floats:
    """Whole numbers from 0."""
    values_B = sizeable_numbers(column, what)
    wrong_B = (values_B < 0) | (values_B != np.floor(values_B)) & ~np.isnan(values_B)
    require_none(wrong_B, values_B, f"{what} is a count, but holds negatives or fractions")
    return values_B


def sizeable_numbers(column: pa.ChunkedArray, what: str) -> Floats:
    """Finite numbers whose squares are finite too."""
    values_B = finite_numbers(column, what)
    require_none(
        np.abs(values_B) > _TOO_LARGE,
        values_B,
        f"{what} is too large to be squared; divide it, as in --derive='y = {{column}} / 1e300', "
        "or train on its logarithm by --transform=TASK=log1p",
    )
    return values_B


def require_none(wrong_B: NDArray[np.bool_], values_B: Floats, message: str) -> None:
    """UserError with the first value that is wrong."""
    if wrong_B.any():
        raise UserError(f"{message}: {first_number(values_B, wrong_B)}")


def require_variety(labels_B: Floats, what: str, names: tuple[str, str] | None = None) -> None:
    """UserError where the labels of the training rows teach nothing; `names` are those of 0 and 1."""
    present = labels_B[~np.isnan(labels_B)]
    if len(present) == 0:
        raise UserError(f"{what}: every training row is without a label")
    if present.min() == present.max():
        value = f"{present[0]:g}"
        if names is not None and present[0] in (0, 1):
            value = names[int(present[0])]
        raise UserError(
            f"{what} is constant: all {len(present):,} labelled training rows are {value}; "
            "there is nothing to learn"
        )


@dataclass(frozen=True, slots=True)
class Scale:
    """z = (t(y) - mean) / std, with t the logarithm of 1 + y, or nothing.

    >>> import torch
    >>> scale = Scale("log1p", mean=1.0, std=2.0)
    >>> round(scale.back(torch.tensor([0.0])).item(), 5)
    1.71828
    """

    transform: Transform | None
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and 0 < self.std < math.inf):
            raise ValueError(
                f"a mean of {self.mean:g} and a deviation of {self.std:g} scale nothing"
            )

    @classmethod
    def of(cls, column: pa.ChunkedArray, what: str, transform: Transform | None) -> Self:
        """That of the training labels."""
        values_B = _transformed(column, what, transform)
        require_variety(values_B, what)
        present = values_B[~np.isnan(values_B)]
        mean = float(present.mean())
        # By the largest deviation, since squares of tiny ones are 0.
        deviation = np.abs(present - mean)
        largest = float(deviation.max())
        return cls(transform, mean, largest * float(np.sqrt(np.square(deviation / largest).mean())))

    def encode(self, column: pa.ChunkedArray, what: str) -> Floats:
        return (_transformed(column, what, self.transform) - self.mean) / self.std

    def decode(self, labels: NDArray[np.floating]) -> Floats:
        """Labels in their own unit."""
        values = np.asarray(labels, dtype=np.float64) * self.std + self.mean
        return np.expm1(values) if self.transform == "log1p" else values

    def back(self, outputs: Tensor, *, factor: float = 1.0) -> Tensor:
        """Outputs in the label's own unit, in float64: a label far from 0 has no room in float32.

        `factor` multiplies 1 + y where the logarithm was trained on.
        """
        values = outputs.double() * self.std + self.mean
        if self.transform is None:
            return values
        return factor * values.clamp(max=_LARGEST_LOG).exp() - 1.0


def _transformed(column: pa.ChunkedArray, what: str, transform: Transform | None) -> Floats:
    values_B = sizeable_numbers(column, what)
    if transform is None:
        return values_B
    require_none(values_B <= -1, values_B, f"{what} is transformed by log1p, but holds -1 or less")
    logarithm_B: Floats = np.log1p(values_B)
    return logarithm_B
