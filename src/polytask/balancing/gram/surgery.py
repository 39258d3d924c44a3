"""Rules that change each gradient where it disagrees with another, one pair after the other."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.balancing.gram.geometry import Geometry, check_option, take_apart
from polytask.balancing.solvers import Array

Reduction: TypeAlias = Literal["sum", "mean"]
Indices: TypeAlias = NDArray[np.intp]

_LARGEST_COSINE = 1.0 - float(np.sqrt(np.finfo(np.float64).eps))
_HUGE = 1e300


class Vaccinated(NamedTuple):
    """What GradVac returns: the weights, and the target cosines for the next step.

    >>> from polytask.balancing import gram
    >>> weights_T, target_TT = gram.gradvac(torch.eye(2), target_TT=torch.zeros(2, 2))
    >>> weights_T
    tensor([1., 1.])
    """

    weights_T: Tensor
    target_TT: Tensor


def pcgrad(
    gram_TT: Tensor,
    *,
    order: Tensor | Sequence[Sequence[int]] | None = None,
    seed: int = 0,
    reduction: Reduction = "sum",
) -> Tensor:
    """g_i -= (g_i.g_j / |g_j|^2) g_j wherever g_i.g_j < 0 (Yu et al., NeurIPS 2020, Algorithm 1).

    https://arxiv.org/abs/2001.06782

    `order`, (T, T - 1) or (T, T): row i lists the tasks in the order in which task i visits them
    (itself is passed over). Without it the orders are drawn from `seed`: hand over a function of
    the step, so that ranks agree and a resumed run repeats. A zero gradient conflicts with
    nobody: weight 1, like all if no two gradients conflict.

    DIFF: none from the paper. The authors' code visits in a fixed order and projects g_i on itself
    too; `reduction="mean"` is the CAGrad authors' version.

    >>> from polytask.balancing import gram
    >>> gram_TT = torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=torch.float64)
    >>> gram.pcgrad(gram_TT)
    tensor([1.5000, 1.5000], dtype=torch.float64)
    """
    geometry = take_apart(gram_TT)
    factor = reduction_factor(reduction, len(geometry.lengths_T))
    if (geometry.cosines_TT >= 0.0).all():
        return geometry.give(np.full_like(geometry.lengths_T, factor))
    visits_TV = _visits(order, seed, len(geometry.lengths_T))
    met_VT, cosines_VTT = _flat_pairs(visits_TV), geometry.cosines_TT[visits_TV.T]
    inner_TT = geometry.cosines_TT.copy()
    amounts = []
    for met_T, cosines_TT in zip(met_VT, cosines_VTT):
        amounts_T = np.minimum(inner_TT.take(met_T), 0.0)
        inner_TT -= amounts_T[:, None] * cosines_TT
        amounts.append(amounts_T)
    return geometry.give(factor * _weights(geometry, visits_TV, -np.stack(amounts, axis=1)))


def gradvac(
    gram_TT: Tensor,
    *,
    target_TT: Tensor,
    decay: float = 1e-2,
    order: Tensor | Sequence[Sequence[int]] | None = None,
    seed: int = 0,
    reduction: Reduction = "sum",
) -> Vaccinated:
    """Turn g_i towards g_j up to a target cosine (Wang et al., ICLR 2021, GradVac, Algorithm 1).

    https://arxiv.org/abs/2010.05874

    Where cos(g_i, g_j) < target_ij: g_i += g_j |g_i| (f sqrt(1 - p^2) - p sqrt(1 - f^2)) /
    (|g_j| sqrt(1 - f^2)), p the cosine and f the target. `target_TT` are the running means of
    the cosines met, zeros at the start; returned for the next step as (1 - decay) target + decay
    cosine, the input is left alone. `order` and `seed` as in `pcgrad`, which is the result for
    targets 0. Pairs with a zero gradient change nothing, nor their target.

    DIFF: one cosine over all parameters (the paper also: per layer). Targets enter up to
    1 - sqrt(epsilon) in size: a cosine of 1 cannot be reached.

    >>> from polytask.balancing import gram
    >>> gram_TT = torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=torch.float64)
    >>> gram.gradvac(gram_TT, target_TT=torch.zeros(2, 2), decay=0.1).target_TT
    tensor([[ 0.0000, -0.0500],
            [-0.0500,  0.0000]])
    """
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"decay must be in [0, 1], but {decay=}")
    geometry = take_apart(gram_TT)
    num_tasks = len(geometry.lengths_T)
    if target_TT.shape != gram_TT.shape:
        raise ValueError(f"target_TT must be {gram_TT.shape=}, but {target_TT.shape=}")
    factor = reduction_factor(reduction, num_tasks)
    targets_TT: Array = target_TT.detach().to("cpu", torch.float64).numpy().copy()
    visits_TV = _visits(order, seed, num_tasks)
    amounts_TV, cosines_TV, is_pair_TV = _vaccinate(geometry, targets_TT, visits_TV)
    pairs = (np.arange(num_tasks)[:, None], visits_TV)
    moved_TV = targets_TT[pairs] + decay * (cosines_TV - targets_TT[pairs])
    targets_TT[pairs] = np.where(is_pair_TV, moved_TV, targets_TT[pairs])
    return Vaccinated(
        geometry.give(factor * _weights(geometry, visits_TV, amounts_TV)),
        torch.from_numpy(targets_TT).to(target_TT.device, target_TT.dtype),
    )


def _vaccinate(
    geometry: Geometry, targets_TT: Array, visits_TV: Indices
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """(T, V) each: how much of u_j each g_i / |g_i| took, the cosines met, and which pairs count.

    With p = u_i.u_j and q = |u_i|^2 of the changed u_i, the paper's step moves p to
    f sqrt(q - p^2) / sqrt(1 - f^2), which is above p just where the cosine p / sqrt(q) is below
    the target f; what lies across u_j, q - p^2, stays.
    """
    wanted_TT = np.clip(targets_TT, -_LARGEST_COSINE, _LARGEST_COSINE)
    cotangents_TT = wanted_TT / np.sqrt(1.0 - wanted_TT * wanted_TT)
    # Nobody turns towards a zero gradient.
    cotangents_TT[:, geometry.is_zero_T] = -_HUGE
    met_VT, cosines_VTT = _flat_pairs(visits_TV), geometry.cosines_TT[visits_TV.T]
    inner_TT = geometry.cosines_TT.copy()
    squares_T = geometry.cosines_TT.diagonal()
    before, after, squares = [], [], []
    for cotangents_T, met_T, cosines_TT in zip(cotangents_TT.take(met_VT), met_VT, cosines_VTT):
        inner_T = inner_TT.take(met_T)
        across_T = np.maximum(squares_T - inner_T * inner_T, 0.0)
        turned_T = np.maximum(cotangents_T * np.sqrt(across_T), inner_T)
        before.append(inner_T)
        after.append(turned_T)
        squares.append(squares_T)
        squares_T = across_T + turned_T * turned_T
        inner_TT += (turned_T - inner_T)[:, None] * cosines_TT
    before_TV, after_TV, squares_TV = (
        np.array(steps).reshape(met_VT.shape).T for steps in (before, after, squares)
    )
    # A gradient that has cancelled to rounding has no cosine.
    is_pair_TV = (squares_TV > geometry.tolerance) & ~geometry.is_zero_T[visits_TV]
    cosines_TV = np.clip(before_TV / np.sqrt(np.where(is_pair_TV, squares_TV, 1.0)), -1.0, 1.0)
    return after_TV - before_TV, cosines_TV, is_pair_TV


def _flat_pairs(visits_TV: Indices) -> Indices:
    """(V, T): where the entries (i, visited_i) of a (T, T) matrix lie in its flat form."""
    num_tasks = len(visits_TV)
    flat_VT: Indices = visits_TV.T + num_tasks * np.arange(num_tasks)
    return flat_VT


def _weights(geometry: Geometry, visits_TV: Indices, amounts_TV: Array) -> Array:
    """Weights of the gradients in the sum of all n_i (u_i + sum_v amount_iv u_visited)."""
    added_TV = geometry.lengths_T[:, None] * amounts_TV
    taken_T = np.bincount(visits_TV.ravel(), added_TV.ravel(), minlength=len(geometry.lengths_T))
    return 1.0 + taken_T / geometry.divisors_T


def reduction_factor(reduction: Reduction, num_tasks: int) -> float:
    """What to multiply the sum over the tasks by."""
    check_option(reduction, get_args(Reduction), name="reduction")
    return 1.0 if reduction == "sum" else 1.0 / num_tasks


def _visits(order: Tensor | Sequence[Sequence[int]] | None, seed: int, num_tasks: int) -> Indices:
    """(T, T - 1): the others, in the order in which each task visits them."""
    tasks_T1 = np.arange(num_tasks)[:, None]
    if order is None:
        visits_TT: Indices = np.random.default_rng(seed).random((num_tasks,) * 2).argsort(axis=1)
    else:
        visits_TT = torch.as_tensor(order).to("cpu", torch.int64).numpy()
        if visits_TT.shape == (num_tasks, num_tasks - 1):
            visits_TT = np.hstack([visits_TT, tasks_T1])
        is_square = visits_TT.shape == (num_tasks, num_tasks)
        if not is_square or (np.sort(visits_TT, axis=1) != tasks_T1.T).any():
            raise ValueError(f"each row of order must list all {num_tasks} tasks or all others")
    others_TV: Indices = visits_TT[visits_TT != tasks_T1].reshape(num_tasks, num_tasks - 1)
    return others_TV
