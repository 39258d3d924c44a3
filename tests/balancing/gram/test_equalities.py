"""What Nash-MTL, FairGrad, IMTL-G, ConFIG and Aligned-MTL make equal."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from polytask.balancing import gram
from polytask.balancing.gram import bargaining

Draw = Callable[..., Tensor]
NUMS_TASKS = (2, 3, 5, 10, 20, 40)


def gram_of(jacobian_TP: Tensor) -> Tensor:
    return jacobian_TP @ jacobian_TP.T


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Relative to the length of the whole vector."""
    assert float((actual - expected).norm()) <= tolerance * float(expected.norm())


def cosines_with(direction_P: Tensor, jacobian_TP: Tensor) -> Tensor:
    return jacobian_TP @ direction_P / (jacobian_TP.norm(dim=1) * direction_P.norm())


@pytest.mark.parametrize("spread", [1.0, 1e2, 1e4])
@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0, 2.0, 5.0, 30.0])
def test_fair_grad_solves_its_equation(draw: Draw, alpha: float, spread: float) -> None:
    for num_tasks in NUMS_TASKS:
        jacobian_TP = draw(num_tasks, spread=spread if alpha >= 0.5 else 1.0)
        weights_T = gram.fair_grad(gram_of(jacobian_TP), alpha=alpha)
        assert float(weights_T.min()) > 0.0
        gains_T = jacobian_TP @ (weights_T @ jacobian_TP)
        assert float((gains_T * weights_T ** (1.0 / alpha) - 1.0).abs().max()) < 1e-8


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_fair_grad_halves_a_step_that_goes_too_far(alpha: float) -> None:
    """For K = 1 the function falls from y = 0.5 to 1 and rises beyond: a thousand is too far."""
    balance = bargaining._Balance(matrix_TT=np.eye(1), target_T=np.ones(1), alpha=alpha)
    start = 0.5
    slope = start - start ** (-1.0 / alpha)
    decrement = -2e3 * start * slope
    moved = float(balance._move(np.array([start]), np.array([2e3]), decrement=decrement)[0][0])
    assert moved > start
    assert moved - moved ** (-1.0 / alpha) <= 0.5 * abs(slope)


@pytest.mark.parametrize("spread", [1.0, 1e2, 1e4])
def test_nash_mtl_is_the_bargain(draw: Draw, spread: float) -> None:
    for num_tasks in NUMS_TASKS:
        jacobian_TP = draw(num_tasks, spread=spread)
        weights_T = gram.nash_mtl(gram_of(jacobian_TP))
        direction_P = weights_T @ jacobian_TP
        assert abs(float(direction_P @ direction_P) / num_tasks - 1.0) < 1e-11
        assert float((weights_T * (jacobian_TP @ direction_P) - 1.0).abs().max()) < 1e-11
        assert torch.equal(weights_T, gram.fair_grad(gram_of(jacobian_TP), alpha=1.0))
        factors_T = torch.logspace(-3, 3, num_tasks, dtype=torch.float64)
        scaled_TP = factors_T[:, None] * jacobian_TP
        assert_close(gram.nash_mtl(gram_of(scaled_TP)) @ scaled_TP, direction_P, 1e-9)


def test_nash_mtl_with_repeated_tasks_is_the_bargain(draw: Draw) -> None:
    jacobian_TP = draw(3)[[0, 0, 1, 2, 2, 2]]
    weights_T = gram.nash_mtl(gram_of(jacobian_TP))
    assert float((weights_T * (jacobian_TP @ (weights_T @ jacobian_TP)) - 1.0).abs().max()) < 1e-10


def test_fair_grad_alpha_zero_is_the_sum_and_negative_is_refused(draw: Draw) -> None:
    gram_TT = gram_of(draw(4))
    assert torch.equal(gram.fair_grad(gram_TT, alpha=0.0), torch.ones(4).double())
    for alpha in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="alpha must be"):
            gram.fair_grad(gram_TT, alpha=alpha)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_fair_grad_at_a_pareto_stationary_point_steps_nowhere(draw: Draw, alpha: float) -> None:
    row_P = draw(1)
    for jacobian_TP in (torch.cat([row_P, -5.0 * row_P]), draw(6, 1), draw(20, 4)):
        weights_T = gram.fair_grad(gram_of(jacobian_TP), alpha=alpha)
        assert weights_T.isfinite().all()
        largest_term = float((weights_T * jacobian_TP.norm(dim=1)).max())
        assert float((weights_T @ jacobian_TP).norm()) < 1e-6 * largest_term


@pytest.mark.parametrize("spread", [1.0, 1e2, 1e4])
def test_imtl_g_projections_are_equal(draw: Draw, spread: float) -> None:
    for num_tasks in NUMS_TASKS:
        jacobian_TP = draw(num_tasks, spread=spread)
        weights_T = gram.imtl_g(gram_of(jacobian_TP))
        projections_T = cosines_with(weights_T @ jacobian_TP, jacobian_TP)
        assert abs(float(weights_T.sum()) - 1.0) < 1e-12
        assert_close(projections_T, projections_T.mean().expand(num_tasks), 1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_collinear_gradients_are_told_from_rounding(draw: Draw, dtype: torch.dtype) -> None:
    """At 1e5 parameters the cosine of two multiples of one gradient is 1 up to rounding alone."""
    for seed in range(5):
        factors_T = draw(8, seed=seed).norm(dim=1).to(dtype)
        gram_TT = gram_of(factors_T[:, None] * draw(1, 100_000, seed=seed).to(dtype))
        expected_T = (1.0 / factors_T) / (1.0 / factors_T).sum()
        assert_close(gram.imtl_g(gram_TT), expected_T, 1e-3 if dtype == torch.float32 else 1e-10)


@pytest.mark.parametrize("spread", [1.0, 1e2, 1e4])
def test_config_cosines_are_equal_and_the_length_is_the_sum_of_projections(
    draw: Draw, spread: float
) -> None:
    for num_tasks in NUMS_TASKS:
        jacobian_TP = draw(num_tasks, spread=spread)
        direction_P = gram.config(gram_of(jacobian_TP)) @ jacobian_TP
        cosines_T = cosines_with(direction_P, jacobian_TP)
        assert_close(cosines_T, cosines_T.mean().expand(num_tasks), 1e-10)
        projections = float((jacobian_TP @ direction_P).sum() / direction_P.norm())
        assert abs(float(direction_P.norm()) / projections - 1.0) < 1e-10


def test_config_matches_the_pseudo_inverse_where_tasks_outnumber_parameters(draw: Draw) -> None:
    for seed in range(5):
        jacobian_TP = draw(12, 4, seed=seed)
        units_TP = jacobian_TP / jacobian_TP.norm(dim=1, keepdim=True)
        best_P = torch.linalg.pinv(units_TP) @ torch.ones(12).double()
        unit_P = best_P / best_P.norm()
        expected_P = (jacobian_TP @ unit_P).sum() * unit_P
        assert_close(gram.config(gram_of(jacobian_TP)) @ jacobian_TP, expected_P, 1e-9)


@pytest.mark.parametrize("scale", ["min", "median", "rmse"])
@pytest.mark.parametrize("spread", [1.0, 1e4])
def test_aligned_mtl_makes_the_singular_values_equal(draw: Draw, scale: str, spread: float) -> None:
    for num_tasks in NUMS_TASKS:
        jacobian_TP = draw(num_tasks, spread=spread)
        gram_TT = gram_of(jacobian_TP)
        rows = [
            gram.aligned_mtl(gram_TT, scale=scale, preference=preference_T)
            for preference_T in torch.eye(num_tasks).double()
        ]
        after_T = torch.linalg.svdvals(torch.stack(rows) @ jacobian_TP)
        before_T = torch.linalg.svdvals(jacobian_TP)
        common = {
            "min": before_T.min(),
            "median": before_T.median(),
            "rmse": before_T.square().mean().sqrt(),
        }[scale]
        assert_close(after_T, common.expand(num_tasks), 1e-7)
