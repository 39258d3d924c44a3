"""A Gram matrix taken apart into lengths and angles: what every rule on it starts from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.balancing.solvers import Array, cone_multipliers, rows_of

_ROUNDING_OF_DIRECTIONS = 3e-6


@dataclass(frozen=True)
class Geometry:
    """The tasks' gradients up to a rotation: G_ij = longest^2 n_i n_j C_ij.

    Lengths and angles are kept apart because most rules depend on the angles alone, up to known
    factors; whatever the spread of the lengths, the cosine matrix is as well conditioned as the
    gradients' directions are.
    """

    longest: float
    """Length of the longest gradient; 1 if all are zero."""
    lengths_T: Array
    """Lengths relative to the longest, in [0, 1]."""
    cosines_TT: Array
    """Ones on the diagonal; rows and columns of zero gradients are zero."""
    rounding: float
    """T times the epsilon of the dtype that came in."""
    is_finite: bool
    source: Tensor

    @property
    def tolerance(self) -> float:
        """What counts as zero among the cosines: inner products of 1e5 numbers round like that."""
        return 32.0 * self.rounding

    @property
    def ridge(self) -> float:
        """What to add to the diagonal of the cosines where gradients are dependent.

        Gradients come in float32: whether their directions are dependent is known to 3e-6 at best.
        """
        return max(self.tolerance, _ROUNDING_OF_DIRECTIONS**2)

    @cached_property
    def is_zero_T(self) -> NDArray[np.bool_]:
        """Which gradients are exactly zero."""
        return np.asarray(self.lengths_T == 0.0)

    @cached_property
    def divisors_T(self) -> Array:
        """The lengths to divide by: 1 in the place of 0."""
        return np.where(self.is_zero_T, 1.0, self.lengths_T)

    @cached_property
    def units_TR(self) -> Array:
        """Rows with the cosines for inner products, R their rank: the unit gradients, rotated."""
        return rows_of(self.cosines_TT, tolerance=self.tolerance)

    @cached_property
    def rows_TR(self) -> Array:
        """The gradients relative to the longest, rotated into R dimensions."""
        return self.lengths_T[:, None] * self.units_TR

    def cone_multipliers(self, coefficients_KT: Array) -> Array:
        """`solvers.cone_multipliers` of the directions; rows of coefficients of the unit gradients."""
        return cone_multipliers(
            self.cosines_TT,
            self.units_TR,
            coefficients_KT,
            tolerance=self.tolerance,
            ridge=self.ridge,
        )

    def give(self, weights_T: Array) -> Tensor:
        """The weights as a tensor like the Gram matrix that came in; NaN if that was not finite."""
        if not self.is_finite:
            weights_T = np.full_like(weights_T, np.nan)
        return torch.from_numpy(weights_T).to(self.source)


def take_apart(gram_TT: Tensor) -> Geometry:
    """Lengths and cosines of a Gram matrix of any float dtype on any device."""
    if gram_TT.ndim != 2 or gram_TT.shape[0] != gram_TT.shape[1] or len(gram_TT) == 0:
        raise ValueError(f"gram_TT must be (T, T) with T >= 1, but {tuple(gram_TT.shape)=}")
    if not gram_TT.is_floating_point():
        raise ValueError(f"gram_TT must hold floating-point numbers, but {gram_TT.dtype=}")
    values_TT = gram_TT.detach().to("cpu", torch.float64).numpy()
    is_finite = bool(np.isfinite(values_TT).all())
    if not is_finite:
        values_TT = np.zeros_like(values_TT)
    roots_T = np.sqrt(np.maximum(values_TT.diagonal(), 0.0))
    longest = float(roots_T.max()) or 1.0
    lengths_T = roots_T / longest
    is_nonzero_T = lengths_T > 0.0
    inverse_T = np.divide(1.0, roots_T, out=np.zeros_like(roots_T), where=is_nonzero_T)
    # One factor after the other: the product of two lengths could underflow.
    cosines_TT = values_TT * inverse_T
    cosines_TT *= inverse_T[:, None]
    cosines_TT.flat[:: len(cosines_TT) + 1] = is_nonzero_T
    return Geometry(
        longest=longest,
        lengths_T=lengths_T,
        cosines_TT=cosines_TT,
        rounding=len(lengths_T) * torch.finfo(gram_TT.dtype).eps,
        is_finite=is_finite,
        source=gram_TT,
    )


def check_option(value: str | int, allowed: Sequence[str | int], *, name: str) -> None:
    """ValueError for a choice that does not exist."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, but is {value!r}")


def per_task(
    values: Tensor | Sequence[float] | None, *, default: float, geometry: Geometry, name: str
) -> Array:
    """One number a task as float64: an option of a rule, or its default for all."""
    num_tasks = len(geometry.lengths_T)
    if values is None:
        return np.full(num_tasks, default)
    # The dtype is named at once: a list of floats would become float32 first.
    array_T: Array = torch.as_tensor(values, dtype=torch.float64).detach().cpu().numpy()
    if array_T.shape != (num_tasks,):
        raise ValueError(f"{name} needs one number a task: {num_tasks=}, but {array_T.shape=}")
    return array_T


def preference_of(
    preference: Tensor | Sequence[float] | None, *, default: float, geometry: Geometry
) -> Array:
    """What each task counts: the caller's numbers, or the default for all."""
    preference_T = per_task(preference, default=default, geometry=geometry, name="preference")
    if not ((preference_T >= 0.0) & np.isfinite(preference_T)).all():
        raise ValueError(f"preference must be >= 0 and finite, but is {preference_T.tolist()}")
    return preference_T
