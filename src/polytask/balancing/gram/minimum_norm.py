"""Rules that step along the shortest convex combination of the gradients."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
from torch import Tensor

from polytask.balancing.gram.geometry import Geometry, check_option, per_task, take_apart
from polytask.balancing.solvers import (
    Array,
    min_norm_weights,
    project_on_simplex,
    solve_definite,
)

Normalisation: TypeAlias = Literal["none", "l2", "loss", "loss+"]
EfficientSolver: TypeAlias = Literal["two_step", "exact"]

_EPSILON = float(np.finfo(np.float64).eps)
_ROUNDING_OF_BOUNDS = 1e-6
"""Lower bounds that came as float32 may sum to a little more than 1."""


def mgda(
    gram_TT: Tensor,
    *,
    normalisation: Normalisation = "none",
    losses_T: Tensor | Sequence[float] | None = None,
) -> Tensor:
    """min |sum_i a_i g_i / n_i|^2 over the simplex (Sener and Koltun, NeurIPS 2018, eq. 3).

    https://arxiv.org/abs/1810.04650

    w_i = a_i / n_i, so that d is the minimum-norm point itself and g_i.d / n_i >= |d|^2 for all
    i. The normaliser n is 1 ("none", the paper), |g_i| ("l2"), L_i ("loss") or L_i |g_i|
    ("loss+", the authors' CelebA runs); the last two need `losses_T`. A zero gradient is the
    minimum: d = 0.

    DIFF: the exact minimum in the place of Frank-Wolfe steps. With a normaliser the authors' code
    solves for a with g_i / n_i, then applies it to g_i, which need not descend for all tasks.
    Losses enter by their size (a negative one would turn its gradient round), at least epsilon
    times the largest; zero gradients are normalised by the largest n_i.

    >>> from polytask.balancing import gram
    >>> gram_TT = torch.tensor([[1.0, 0.0], [0.0, 9.0]], dtype=torch.float64)
    >>> gram.mgda(gram_TT)
    tensor([0.9000, 0.1000], dtype=torch.float64)
    """
    check_option(normalisation, get_args(Normalisation), name="normalisation")
    geometry = take_apart(gram_TT)
    if normalisation == "none":
        return geometry.give(min_norm_weights(geometry.units_TR, geometry.lengths_T))
    normaliser_T = _normaliser(geometry, normalisation, losses_T)
    if not np.isfinite(normaliser_T).all():
        return geometry.give(np.full_like(normaliser_T, np.nan))
    lengths_T = geometry.lengths_T * (normaliser_T.min() / normaliser_T)
    return geometry.give(min_norm_weights(geometry.units_TR, lengths_T) / normaliser_T)


def _normaliser(
    geometry: Geometry, kind: Normalisation, losses_T: Tensor | Sequence[float] | None
) -> Array:
    """n_i > 0 of MGDA."""
    normaliser_T = np.ones(len(geometry.lengths_T))
    if kind in ("l2", "loss+"):
        normaliser_T = geometry.longest * geometry.lengths_T
    if kind in ("loss", "loss+"):
        if losses_T is None:
            raise ValueError(f"normalisation={kind!r} needs losses_T, one loss a task")
        values_T = np.abs(per_task(losses_T, default=1.0, geometry=geometry, name="losses_T"))
        normaliser_T = normaliser_T * np.maximum(values_T, _EPSILON * values_T.max())
    largest = normaliser_T.max()
    if largest == 0.0:
        return np.ones(len(normaliser_T))
    return np.where(normaliser_T > 0.0, normaliser_T, largest)


def pareto_efficient(
    gram_TT: Tensor,
    *,
    lower_bounds: Tensor | Sequence[float] | None = None,
    solver: EfficientSolver = "two_step",
) -> Tensor:
    """min |sum_i w_i g_i|^2, sum w = 1, w >= c (Lin et al., RecSys 2019, PE-LTR, Algorithm 2).

    https://doi.org/10.1145/3298689.3346998

    `lower_bounds` c, zero unless given; they may sum to 1 at most. "two_step" is the paper's:
    drop w >= c, solve, project w - c on the simplex of size 1 - sum c. "exact" keeps w >= c; with
    c = 0 it is MGDA. They agree for T = 2 and where no bound binds; for T >= 3 the paper's can
    be far from the minimum, and even ascend for a task. A zero gradient is a gradient like any:
    without bounds it takes all the weight (d = 0).

    DIFF: where the gradients are affinely dependent, step one takes the least-norm solution (the
    paper's matrix is singular there).

    >>> from polytask.balancing import gram
    >>> gram_TT = torch.tensor([[1.0, 0.0], [0.0, 9.0]], dtype=torch.float64)
    >>> gram.pareto_efficient(gram_TT, lower_bounds=[0.0, 0.5])
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    check_option(solver, get_args(EfficientSolver), name="solver")
    geometry = take_apart(gram_TT)
    bounds_T = per_task(lower_bounds, default=0.0, geometry=geometry, name="lower_bounds")
    free = 1.0 - float(bounds_T.sum())
    if not (bounds_T >= 0.0).all() or free < -_ROUNDING_OF_BOUNDS:
        raise ValueError(
            f"lower_bounds must be >= 0 and sum to at most 1, but are {bounds_T.tolist()}, which sum "
            f"to {1.0 - free:g}"
        )
    free = max(free, 0.0)
    if solver == "exact":
        return geometry.give(bounds_T + free * _exact_shares(geometry, bounds_T, free=free))
    relaxed_T = _relaxed(geometry, bounds_T, free=free)
    return geometry.give(bounds_T + project_on_simplex(relaxed_T, total=free))


def _exact_shares(geometry: Geometry, bounds_T: Array, *, free: float) -> Array:
    """w = c + free a: the minimum-norm problem of the points free g_i + sum_j c_j g_j."""
    points_TR = free * geometry.rows_TR + bounds_T @ geometry.rows_TR
    lengths_T = np.sqrt((points_TR * points_TR).sum(axis=1))
    units_TR = points_TR / np.where(lengths_T > 0.0, lengths_T, 1.0)[:, None]
    return min_norm_weights(units_TR, lengths_T)


def _relaxed(geometry: Geometry, bounds_T: Array, *, free: float) -> Array:
    """argmin |sum_i (v_i + c_i) g_i|^2 with sum v = 1 - sum c: step one of PE-LTR."""
    num_tasks = len(bounds_T)
    if geometry.units_TR.shape[1] == num_tasks:
        # v + c is in proportion to G^-1 1; the shortest length keeps the numbers in range.
        nearness_T = geometry.lengths_T.min() / geometry.lengths_T
        solution_T = solve_definite(geometry.cosines_TT, nearness_T)
        if solution_T is not None:
            shares_T = nearness_T * solution_T
            relaxed_T: Array = shares_T * ((free + bounds_T.sum()) / shares_T.sum()) - bounds_T
            return relaxed_T
    gram_TT = geometry.rows_TR @ geometry.rows_TR.T
    matrix_SS = np.ones((num_tasks + 1, num_tasks + 1))
    matrix_SS[:num_tasks, :num_tasks] = gram_TT
    matrix_SS[-1, -1] = 0.0
    side_S = np.append(-(gram_TT @ bounds_T), free)
    least_T: Array = np.linalg.lstsq(matrix_SS, side_S, rcond=geometry.tolerance)[0][:-1]
    return least_T
