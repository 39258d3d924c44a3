"""Rules that project on the dual cone: the directions along which no task loses."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from polytask.balancing.gram.geometry import preference_of, take_apart


def upgrad(gram_TT: Tensor, *, preference: Tensor | Sequence[float] | None = None) -> Tensor:
    """Sum of p_i g_i, each projected on {d: G d >= 0} (Quinton and Rey, arXiv 2406.16232, 2024).

    https://arxiv.org/abs/2406.16232

    w = sum_i argmin {v^T G v: v >= p_i e_i}. `preference` p is 1 / T unless given. A zero
    gradient constrains nothing and keeps its own preference as weight.

    DIFF: none from the paper; TorchJD adds 1e-4 to the diagonal of G / trace G.

    >>> from polytask.balancing import gram
    >>> gram_TT = torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=torch.float64)
    >>> gram.upgrad(gram_TT)
    tensor([0.7500, 0.7500], dtype=torch.float64)
    """
    geometry = take_apart(gram_TT)
    preference_T = preference_of(preference, default=1.0 / len(gram_TT), geometry=geometry)
    multipliers_TT = geometry.cone_multipliers(np.eye(len(preference_T)))
    added_T = (preference_T * geometry.lengths_T) @ multipliers_TT
    return geometry.give(preference_T + added_T / geometry.divisors_T)


def dual_proj(gram_TT: Tensor, *, preference: Tensor | Sequence[float] | None = None) -> Tensor:
    """sum_i p_i g_i projected on {d: G d >= 0} (Lopez-Paz and Ranzato, NeurIPS 2017, GEM, eq. 8).

    https://arxiv.org/abs/1706.08840

    w = argmin {v^T G v: v >= p}. `preference` p is 1 / T unless given. A zero gradient
    constrains nothing and keeps its own preference as weight.

    DIFF: GEM projects the gradient of the current task; here the weighted mean of all.

    >>> from polytask.balancing import gram
    >>> gram_TT = torch.tensor([[1.0, -3.0], [-3.0, 10.0]], dtype=torch.float64)
    >>> gram.dual_proj(gram_TT)
    tensor([1.5000, 0.5000], dtype=torch.float64)
    """
    geometry = take_apart(gram_TT)
    preference_T = preference_of(preference, default=1.0 / len(gram_TT), geometry=geometry)
    multipliers_1T = geometry.cone_multipliers((preference_T * geometry.lengths_T)[None])
    return geometry.give(preference_T + multipliers_1T[0] / geometry.divisors_T)
