"""Rules that share the gain out among the tasks: Nash bargaining and alpha-fairness."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from polytask.balancing.gram.geometry import take_apart
from polytask.balancing.solvers import Array, solve_definite

_EPSILON = float(np.finfo(np.float64).eps)
_MAX_NEWTON_STEPS = 100
_LARGEST_DIRECT_ALPHA = 4.0
_SHORTEST_STEP = 1e-9


def nash_mtl(gram_TT: Tensor) -> Tensor:
    """G w = 1 / w, w > 0 (Navon et al., ICML 2022, Claim 3.1).

    https://arxiv.org/abs/2202.01017

    Then g_i.d = 1 / w_i, |d|^2 is the number of tasks and no task's scale matters. A zero
    gradient has nothing to bargain with: weight 0, and the rest is solved without it. At a
    Pareto-stationary point there is no solution: the weights grow up to 3e5 over the gradients'
    lengths and d tends to zero; clip the step's norm near it, as the authors do.

    DIFF: solved to rounding; the authors' code takes at most 20 convex-concave steps on
    G / |G|_F and clips |d| to 1. T = 1 gives the unit gradient.

    >>> from polytask.balancing import gram
    >>> gram_TT = torch.tensor([[1.0, 0.0], [0.0, 9.0]], dtype=torch.float64)
    >>> gram.nash_mtl(gram_TT)
    tensor([1.0000, 0.3333], dtype=torch.float64)
    """
    return fair_grad(gram_TT, alpha=1.0)


def fair_grad(gram_TT: Tensor, *, alpha: float = 1.0) -> Tensor:
    """G w = w^(-1 / alpha), w > 0 (Ban and Ji, ICML 2024, FairGrad, Algorithm 1).

    https://arxiv.org/abs/2402.15638

    alpha = 0 is the sum, 1 Nash-MTL, 2 minimum potential delay, alpha -> infinity max-min. Of
    degree -2 alpha / (1 + alpha) in the gradients' scale. Zero gradients and Pareto-stationary
    points as in `nash_mtl`. The largest alpha tried is 30.

    DIFF: none from the paper but the solver: damped Newton, whatever the scale of G.

    >>> from polytask.balancing import gram
    >>> gram_TT = torch.tensor([[1.0, 0.0], [0.0, 9.0]], dtype=torch.float64)
    >>> gram.fair_grad(gram_TT, alpha=0.5)
    tensor([1.0000, 0.4807], dtype=torch.float64)
    """
    if not 0.0 <= alpha < float("inf"):
        raise ValueError(f"alpha must be zero or positive and finite, but {alpha=}")
    geometry = take_apart(gram_TT)
    weights_T = np.zeros(len(geometry.lengths_T))
    if alpha == 0.0:
        return geometry.give(weights_T + 1.0)
    has_gradient = np.flatnonzero(~geometry.is_zero_T)
    if len(has_gradient) > 0:
        lengths_S = geometry.lengths_T[has_gradient]
        cosines_SS = geometry.cosines_TT[np.ix_(has_gradient, has_gradient)]
        is_regular = geometry.units_TR.shape[1] == len(has_gradient)
        ridge = geometry.rounding if is_regular else geometry.ridge
        shares_S = _fair_shares(cosines_SS, lengths_S, alpha=alpha, ridge=ridge)
        degree = -2.0 * alpha / (1.0 + alpha)
        weights_T[has_gradient] = geometry.longest**degree * shares_S / lengths_S
    return geometry.give(weights_T)


def _fair_shares(cosines_TT: Array, lengths_T: Array, *, alpha: float, ridge: float) -> Array:
    """b > 0 with n_i (C b)_i = (b_i / n_i)^(-1 / alpha), so that w = b / n.

    With b = s y, s_i = n_i^((1 - alpha) / (1 + alpha)) the solution for C = I, the equation is
    (K y)_i = k_i y_i^(-1 / alpha), K = s C s and k = s^2: only known powers of the lengths are
    left, none for alpha = 1. Large alphas are approached by doubling.
    """
    stage = min(alpha, _LARGEST_DIRECT_ALPHA)
    shares_T = lengths_T ** ((1.0 - stage) / (1.0 + stage))
    while True:
        scale_T = lengths_T ** ((1.0 - stage) / (1.0 + stage))
        matrix_TT = cosines_TT * scale_T * scale_T[:, None]
        # Within rounding of K, and y stays finite where the gradients' hull contains zero.
        matrix_TT.flat[:: len(matrix_TT) + 1] *= 1.0 + ridge
        balance = _Balance(matrix_TT=matrix_TT, target_T=scale_T**2, alpha=stage)
        shares_T = scale_T * balance.solve(shares_T / scale_T)
        if stage == alpha:
            return shares_T
        stage = min(alpha, 2.0 * stage)


@dataclass(frozen=True, slots=True)
class _Balance:
    """(K y)_i = k_i y_i^(-1 / alpha) with y > 0: where a convex function is stationary."""

    matrix_TT: Array
    target_T: Array
    alpha: float

    def solve(self, start_T: Array) -> Array:
        """Newton's method in relative steps, each short enough to lose half of its slope."""
        y_T = start_T * self._best_factor(start_T)
        excess_T, wanted_T = self._excess(y_T)
        magnitude_TT = np.abs(self.matrix_TT)
        for _ in range(_MAX_NEWTON_STEPS):
            rounding_T = _EPSILON * (y_T * (magnitude_TT @ y_T) + wanted_T)
            if (np.abs(excess_T) <= 4.0 * rounding_T).all():
                break
            step_T = self._newton_step(y_T, excess_T, wanted_T)
            decrement = -float(step_T @ excess_T)
            y_T, excess_T, wanted_T = self._move(y_T, step_T, decrement=decrement)
            if np.abs(step_T).max() < 1e-9:
                break
        return y_T

    def _excess(self, y_T: Array) -> tuple[Array, Array]:
        """Both sides times y: left minus right, and right."""
        wanted_T = self.target_T * y_T ** (1.0 - 1.0 / self.alpha)
        return y_T * (self.matrix_TT @ y_T) - wanted_T, wanted_T

    def _best_factor(self, y_T: Array) -> float:
        """The best multiple of y: along a ray the equation is one for a single number."""
        wanted = float((self.target_T * y_T ** (1.0 - 1.0 / self.alpha)).sum())
        return float((wanted / (y_T @ self.matrix_TT @ y_T)) ** (self.alpha / (1.0 + self.alpha)))

    def _newton_step(self, y_T: Array, excess_T: Array, wanted_T: Array) -> Array:
        hessian_TT = self.matrix_TT * y_T
        hessian_TT *= y_T[:, None]
        hessian_TT.flat[:: len(y_T) + 1] += wanted_T / self.alpha
        step_T = solve_definite(hessian_TT, -excess_T)
        # Indefinite by rounding alone: its diagonal still gives a direction of descent.
        return -excess_T / hessian_TT.diagonal() if step_T is None else step_T

    def _move(self, y_T: Array, step_T: Array, *, decrement: float) -> tuple[Array, Array, Array]:
        """The next y with its excess and right side."""
        length = min(1.0, -0.9 / min(float(step_T.min()), -0.9))
        while True:
            growth_T = 1.0 + length * step_T
            next_T = y_T * growth_T
            excess_T, wanted_T = self._excess(next_T)
            slope = float((step_T / growth_T) @ excess_T)
            if slope <= 0.5 * decrement or length < _SHORTEST_STEP:
                return next_T, excess_T, wanted_T
            length *= 0.5
