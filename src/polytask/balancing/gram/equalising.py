"""Rules in closed form that make something equal: projections, cosines, singular values."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
from torch import Tensor

from polytask.balancing.gram.geometry import check_option, preference_of, take_apart
from polytask.balancing.solvers import pseudo_solve_ones

SingularScale: TypeAlias = Literal["min", "median", "rmse"]


def imtl_g(gram_TT: Tensor) -> Tensor:
    """Equal projections u_i.d on all unit gradients, sum w = 1 (Liu et al., ICLR 2021, IMTL-G).

    https://openreview.net/forum?id=IMPnRXEWpvr

    w_i is in proportion to (C^+ 1)_i / |g_i| with C the cosine matrix, and may be negative. A
    zero gradient has no direction: weight 0. Where the weights cancel to rounding they cannot be
    normalised: all are 0.

    DIFF: the paper's closed form needs linearly independent gradients; the pseudo-inverse of C
    (TorchJD: of G) is the same there, and otherwise equalises the projections best.

    >>> from polytask.balancing import gram
    >>> gram_TT = torch.tensor([[1.0, 0.0], [0.0, 9.0]], dtype=torch.float64)
    >>> gram.imtl_g(gram_TT)
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """
    geometry = take_apart(gram_TT)
    shares_T = pseudo_solve_ones(geometry.cosines_TT, geometry.units_TR) / geometry.divisors_T
    total = shares_T.sum()
    if abs(total) <= geometry.tolerance * np.abs(shares_T).sum():
        return geometry.give(np.zeros_like(shares_T))
    return geometry.give(shares_T / total)


def config(gram_TT: Tensor) -> Tensor:
    """Equal cosines with all gradients, |d| = sum_i g_i.d / |d| (Liu et al., ICLR 2025, ConFIG).

    https://arxiv.org/abs/2408.11104

    d is along U^+ 1, U the unit gradients, and as long as the sum of the gradients' projections
    on it. A zero gradient has no direction: weight 0. If no direction serves (U^+ 1 = 0, two
    opposite gradients for example) d = 0.

    DIFF: none from the paper or the authors' code.

    >>> from polytask.balancing import gram
    >>> gram_TT = torch.tensor([[1.0, 0.0], [0.0, 9.0]], dtype=torch.float64)
    >>> gram.config(gram_TT)
    tensor([2.0000, 0.6667], dtype=torch.float64)
    """
    geometry = take_apart(gram_TT)
    shares_T = pseudo_solve_ones(geometry.cosines_TT, geometry.units_TR)
    direction_R = shares_T @ geometry.units_TR
    squared = float(direction_R @ direction_R)
    if squared <= geometry.tolerance:
        return geometry.give(np.zeros_like(shares_T))
    total_length = float((geometry.rows_TR @ direction_R).sum())
    return geometry.give(shares_T * (total_length / squared) / geometry.divisors_T)


def aligned_mtl(
    gram_TT: Tensor,
    *,
    scale: SingularScale = "min",
    preference: Tensor | Sequence[float] | None = None,
) -> Tensor:
    """All singular values of J made equal, d = p^T B J (Senushkin et al., CVPR 2023, Aligned-MTL).

    https://arxiv.org/abs/2305.19000

    B = s V S^-1 V^T for J = V S W^T; s is the smallest non-zero singular value ("min", the
    paper), the median or the root mean square of them ("rmse"). `preference` p is ones unless
    given. A zero gradient gets weight 0 and leaves the rest alone.

    DIFF: p is the authors' ones; TorchJD has 1 / T. "median" is the middle value, of two
    the lower (as in torch).

    >>> from polytask.balancing import gram
    >>> gram_TT = torch.tensor([[1.0, 0.0], [0.0, 9.0]], dtype=torch.float64)
    >>> gram.aligned_mtl(gram_TT)
    tensor([1.0000, 0.3333], dtype=torch.float64)
    """
    check_option(scale, get_args(SingularScale), name="scale")
    geometry = take_apart(gram_TT)
    preference_T = preference_of(preference, default=1.0, geometry=geometry)
    left_TR, singular_R, _ = np.linalg.svd(geometry.rows_TR, full_matrices=False)
    # The root of the rounding in G would be a far larger bound: the rows are accurate one by one.
    is_nonzero_R = singular_R > geometry.tolerance * singular_R.max(initial=0.0)
    if not is_nonzero_R.any():
        return geometry.give(np.zeros_like(preference_T))
    left_TR, singular_R = left_TR[:, is_nonzero_R], singular_R[is_nonzero_R]
    if scale == "min":
        common = singular_R.min()
    elif scale == "median":
        common = np.sort(singular_R)[(len(singular_R) - 1) // 2]
    else:
        common = float(np.sqrt(np.mean(singular_R**2)))
    return geometry.give(left_TR @ ((common / singular_R) * (preference_T @ left_TR)))
