"""CAGrad: the step near the mean gradient that minds the task that fares worst."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from polytask.balancing.gram.geometry import Geometry, check_option, take_apart
from polytask.balancing.gram.surgery import Reduction, reduction_factor
from polytask.balancing.solvers import (
    Array,
    least_distance_multipliers,
    min_norm_weights,
    solve_definite,
)

_EPSILON = float(np.finfo(np.float64).eps)
_MAX_PIVOTING_STEPS = 8
_MAX_NEWTON_STEPS = 100


def cagrad(
    gram_TT: Tensor,
    *,
    c: float = 0.4,
    rescale: Literal[0, 1, 2] = 0,
    reduction: Reduction = "mean",
) -> Tensor:
    """max_d min_i g_i.d with |d - g_0| <= c |g_0| (Liu et al., NeurIPS 2021, Algorithm 1).

    https://arxiv.org/abs/2110.14048

    g_0 is the mean gradient; w = 1 / T + x with x >= 0 the multipliers of the tasks that fare
    worst, so d = g_0 + (c |g_0| / |g_v|) g_v with the paper's v = x / sum x. c = 0 is the mean,
    c < 1 converges to stationary points of the mean loss, c -> infinity tends to the direction
    of MGDA. `rescale` divides d by 1, 1 + c^2 or 1 + c; `reduction="sum"` multiplies it by T (the
    authors' code has rescale=1 and the sum).

    DIFF: solved exactly, by the level min_i g_i.d for which the distance is c |g_0|. Where the
    paper's g_v is zero (Pareto-stationary points) several d are optimal: the one nearest to g_0
    is taken, the projection of g_0 on {d: G d >= 0}; the authors' code divides by zero + 1e-8.
    A zero gradient makes the point stationary: the others get that projection, or less of it.

    >>> from polytask.balancing import gram
    >>> gram_TT = torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=torch.float64)
    >>> gram.cagrad(gram_TT, c=1.0)
    tensor([1.0000, 1.0000], dtype=torch.float64)
    """
    if not 0.0 <= c < float("inf"):
        raise ValueError(f"c must be zero or positive and finite, but {c=}")
    check_option(rescale, (0, 1, 2), name="rescale")
    geometry = take_apart(gram_TT)
    num_tasks = len(geometry.lengths_T)
    factor = (
        num_tasks * reduction_factor(reduction, num_tasks) / (1.0, 1.0 + c * c, 1.0 + c)[rescale]
    )
    multipliers_T = _cautious_multipliers(geometry, radius=c) / geometry.divisors_T
    return geometry.give(factor * (1.0 / num_tasks + multipliers_T))


def _cautious_multipliers(geometry: Geometry, *, radius: float) -> Array:
    """x >= 0 such that d = g_0 + sum_i x_i u_i is the rule's step, u_i the unit gradients."""
    lengths_T, units_TR = geometry.lengths_T, geometry.units_TR
    mean_R = lengths_T @ units_TR / len(lengths_T)
    length = float(np.sqrt(mean_R @ mean_R))
    if length == 0.0 or radius == 0.0:
        return np.zeros(len(lengths_T))
    shortest = lengths_T[~geometry.is_zero_T].min()
    problem = _Caution(
        geometry=geometry,
        # A zero gradient asks for level <= 0, whatever its factor.
        nearness_T=np.where(geometry.is_zero_T, 1.0, shortest / geometry.divisors_T),
        along_T=units_TR @ mean_R / length,
        mean_T=lengths_T / (len(lengths_T) * length),
        radius=radius,
    )
    is_regular = units_TR.shape[1] == len(units_TR)
    multipliers_T = problem.by_pivoting() if is_regular else None
    if multipliers_T is None:
        multipliers_T = problem.by_newton()
    return length * multipliers_T


@dataclass(frozen=True, slots=True)
class _Caution:
    """min |y| with u_i.(g_0 + y) >= level nearness_i, at the level where |y| = radius.

    All in units of |g_0|; the level is min_i g_i.d over the shortest gradient's length. |y| is a
    convex function of the level, smooth between the levels at which the binding tasks change.
    """

    geometry: Geometry
    nearness_T: Array
    along_T: Array
    """u_i.g_0."""
    mean_T: Array
    """The coefficients of the u_i in g_0."""
    radius: float

    def by_pivoting(self) -> Array | None:
        """Guess which tasks bind, get the level in closed form, correct the guess.

        It settles in two or three rounds or not at all; what it returns satisfies the optimality
        conditions.
        """
        sides_T2 = np.stack([self.nearness_T, -self.along_T], axis=1)
        cosines_TT, tolerance = self.geometry.cosines_TT, self.geometry.tolerance
        ratios_T = sides_T2[:, 1] / self.nearness_T
        binds_T = ratios_T == ratios_T.max()
        for _ in range(_MAX_PIVOTING_STEPS):
            binding = np.flatnonzero(binds_T)
            if len(binding) == 0:
                return None
            parts_S2 = solve_definite(cosines_TT[binding][:, binding], sides_T2[binding])
            if parts_S2 is None:
                return None
            level = self._larger_root(sides_T2[binding].T @ parts_S2)
            if level is None:
                return None
            point_2 = np.array([level, 1.0])
            multipliers_T = np.zeros(len(binds_T))
            multipliers_T[binding] = parts_S2 @ point_2
            slack_T = cosines_TT @ multipliers_T - sides_T2 @ point_2
            next_T = np.where(binds_T, multipliers_T > 0.0, slack_T < -tolerance)
            if (next_T == binds_T).all():
                return multipliers_T
            binds_T = next_T
        return None

    def by_newton(self) -> Array:
        """Newton's method on the level from its right, where it descends without overshooting."""
        multipliers_T: Array = self.geometry.cone_multipliers(self.mean_T[None])[0]
        level = 0.0
        if self._distance(multipliers_T) < self.radius:
            level = self._upper_level()
            if level == 0.0:
                return multipliers_T
            multipliers_T = self._multipliers_at(level)
        for _ in range(_MAX_NEWTON_STEPS):
            distance = self._distance(multipliers_T)
            if distance <= self.radius * (1.0 + 4.0 * _EPSILON):
                break
            slope = float(multipliers_T @ self.nearness_T) / distance
            level -= (distance - self.radius) / slope
            multipliers_T = self._multipliers_at(level)
        return multipliers_T

    def _upper_level(self) -> float:
        """No d in the ball reaches a higher level; 0 at a Pareto-stationary point.

        The shortest convex combination s bounds it: min_i g_i.d <= s.d <= |s| |d|.
        """
        if self.geometry.is_zero_T.any():
            return 0.0
        lengths_T = 1.0 / self.nearness_T
        shares_T = min_norm_weights(self.geometry.units_TR, lengths_T) * lengths_T
        length = self._distance(shares_T)
        is_rounding = length <= np.sqrt(self.geometry.tolerance) * float(shares_T.sum())
        return 0.0 if is_rounding else length * (1.0 + self.radius)

    def _multipliers_at(self, level: float) -> Array:
        bounds_T = level * self.nearness_T - self.along_T
        raw_T = least_distance_multipliers(self.geometry.units_TR, bounds_T)
        return raw_T / max(1.0 - float(bounds_T @ raw_T), _EPSILON)

    def _distance(self, multipliers_T: Array) -> float:
        offset_R = multipliers_T @ self.geometry.units_TR
        return float(np.sqrt(offset_R @ offset_R))

    def _larger_root(self, quadratic_22: Array) -> float | None:
        """The level with |y|^2 = radius^2, where |y|^2 = (level, 1) Q (level, 1)^T.

        None where the binding tasks' gradients are so long that no level counts.
        """
        (leading, half), (_, constant) = quadratic_22
        if leading == 0.0:
            return None
        discriminant = half * half - leading * (constant - self.radius**2)
        return float((np.sqrt(max(discriminant, 0.0)) - half) / leading)
