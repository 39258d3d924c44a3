"""Labels that are quantities on the scale of training: transformed and standardised, and back."""

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from polytask.kinds.kind import Floats
from polytask.kinds.reading import require_none, require_variety, sizeable_numbers

Transform = Literal["log1p"]

_LARGEST_LOG = 300.0
"""exp() of more would leave float64 when squared."""


@dataclass(frozen=True, slots=True)
class Scale:
    """z = (t(y) - mean) / std, with t the logarithm of 1 + y, or nothing.

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
