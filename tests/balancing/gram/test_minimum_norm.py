"""MGDA and PE-LTR: optimality conditions, limits, the paper's two steps."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from polytask.balancing import gram

Draw = Callable[..., Tensor]
NUMS_TASKS = (2, 3, 5, 10, 20, 40)


def doubles(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gram_of(jacobian_TP: Tensor) -> Tensor:
    return jacobian_TP @ jacobian_TP.T


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Relative to the length of the whole vector."""
    assert float((actual - expected).norm()) <= tolerance * float(expected.norm())


def assert_is_min_norm(jacobian_TP: Tensor, weights_T: Tensor, bounds_T: Tensor) -> None:
    """KKT: w >= c, sum w = 1, and a task above its bound has the least g_i.d of all."""
    direction_P = weights_T @ jacobian_TP
    assert float((weights_T - bounds_T).min()) >= -1e-15
    assert abs(float(weights_T.sum()) - 1.0) < 1e-12
    inner_T = jacobian_TP @ direction_P
    # Relative to what could cancel in an inner product: |g_i| times the terms of d.
    lengths_T = jacobian_TP.norm(dim=1)
    terms = float((weights_T * lengths_T).sum())
    reach_T = lengths_T.where(lengths_T > 0.0, lengths_T.max())
    slack_T = (inner_T - inner_T.min()) / (reach_T * terms)
    assert float(((weights_T - bounds_T) * slack_T).max()) < 1e-12


def test_mgda_is_the_minimum(jacobian_TP: Tensor) -> None:
    num_tasks, num_parameters = jacobian_TP.shape
    weights_T = gram.mgda(gram_of(jacobian_TP))
    assert_is_min_norm(jacobian_TP, weights_T, torch.zeros(num_tasks))
    direction_P = weights_T @ jacobian_TP
    squared = direction_P @ direction_P
    if num_parameters > num_tasks:
        assert float((jacobian_TP @ direction_P).min()) >= (1.0 - 1e-10) * float(squared)


@pytest.mark.parametrize("normalisation", ["l2", "loss", "loss+"])
def test_normalised_mgda_descends_for_all_tasks(draw: Draw, normalisation: str) -> None:
    for num_tasks in NUMS_TASKS:
        jacobian_TP = draw(num_tasks)
        losses_T = torch.linspace(-0.1, 3.0, num_tasks, dtype=torch.float64)
        weights_T = gram.mgda(gram_of(jacobian_TP), normalisation=normalisation, losses_T=losses_T)
        assert float((jacobian_TP @ (weights_T @ jacobian_TP)).min()) > 0.0


def test_mgda_ignores_a_repeated_and_a_dominated_task(draw: Draw) -> None:
    jacobian_TP = draw(5)
    direction_P = gram.mgda(gram_of(jacobian_TP)) @ jacobian_TP
    dominated_P = direction_P + jacobian_TP[1]
    for added_P in (jacobian_TP[3], dominated_P):
        assert float(added_P @ direction_P) >= (1.0 - 1e-12) * float(direction_P @ direction_P)
        more_TP = torch.cat([jacobian_TP, added_P[None]])
        assert_close(gram.mgda(gram_of(more_TP)) @ more_TP, direction_P, 1e-10)


@pytest.mark.parametrize("normalisation", ["loss", "loss+"])
def test_mgda_with_a_zero_loss_leaves_that_task_its_ray(draw: Draw, normalisation: str) -> None:
    """The limit of a small loss: the first gradient counts with any length."""
    jacobian_TP = draw(4)
    limits = [
        gram.mgda(gram_of(jacobian_TP), normalisation=normalisation, losses_T=[loss, 1.0, 2.0, 3.0])
        for loss in (1e-12, 0.0)
    ]
    assert_close(limits[1], limits[0], 1e-6)


def test_mgda_hands_on_losses_that_are_not_finite(draw: Draw) -> None:
    for loss in (float("nan"), float("inf")):
        weights_T = gram.mgda(gram_of(draw(3)), normalisation="loss", losses_T=[1.0, 2.0, loss])
        assert weights_T.isnan().all()


def test_pareto_efficient_exact_is_the_minimum(jacobian_TP: Tensor) -> None:
    num_tasks = len(jacobian_TP)
    bounds_T = torch.linspace(0.0, 1.5 / num_tasks, num_tasks, dtype=torch.float64)
    weights_T = gram.pareto_efficient(gram_of(jacobian_TP), lower_bounds=bounds_T, solver="exact")
    assert_is_min_norm(jacobian_TP, weights_T, bounds_T)


def test_pareto_efficient_exact_with_a_zero_gradient_is_the_minimum(draw: Draw) -> None:
    jacobian_TP = torch.cat([draw(4, 3), torch.zeros(1, 3, dtype=torch.float64)])
    bounds_T = doubles([0.2, 0.1, 0.1, 0.1, 0.0])
    weights_T = gram.pareto_efficient(gram_of(jacobian_TP), lower_bounds=bounds_T, solver="exact")
    assert_is_min_norm(jacobian_TP, weights_T, bounds_T)


def test_pareto_efficient_without_bounds_is_mgda(jacobian_TP: Tensor) -> None:
    gram_TT = gram_of(jacobian_TP)
    exact_P = gram.pareto_efficient(gram_TT, solver="exact") @ jacobian_TP
    # At a Pareto-stationary point both are rounding of zero.
    scale = float(jacobian_TP.norm(dim=1).min())
    assert float((exact_P - gram.mgda(gram_TT) @ jacobian_TP).norm()) <= 1e-9 * scale


def test_pareto_efficient_two_step_is_exact_for_two_tasks_and_in_the_interior(draw: Draw) -> None:
    for seed in range(20):
        gram_TT = gram_of(draw(2, seed=seed))
        for bounds in ([0.0, 0.0], [0.3, 0.1], [0.2, 0.8]):
            two_step_T = gram.pareto_efficient(gram_TT, lower_bounds=bounds)
            exact_T = gram.pareto_efficient(gram_TT, lower_bounds=bounds, solver="exact")
            assert_close(two_step_T, exact_T, 1e-10)
    gram_TT = gram_of(draw(5, spread=1.0))
    bounds = [0.01] * 5
    two_step_T = gram.pareto_efficient(gram_TT, lower_bounds=bounds)
    assert float(two_step_T.min()) > 0.01
    exact_T = gram.pareto_efficient(gram_TT, lower_bounds=bounds, solver="exact")
    assert_close(two_step_T, exact_T, 1e-10)


def test_pareto_efficient_two_step_follows_the_paper(jacobian_TP: Tensor) -> None:
    """Step one by the paper's bordered matrix, step two by bisection on the shift."""
    num_tasks, num_parameters = jacobian_TP.shape
    gram_TT = gram_of(jacobian_TP) / gram_of(jacobian_TP).max()
    # What the bordered system itself loses.
    condition = float(torch.linalg.cond(gram_TT)) if num_parameters > num_tasks else 1e8
    bounds_T = torch.linspace(0.0, 1.0 / num_tasks, num_tasks, dtype=torch.float64)
    free = 1.0 - float(bounds_T.sum())
    border_T1 = torch.ones(num_tasks, 1, dtype=torch.float64)
    matrix_SS = torch.cat(
        [torch.cat([gram_TT, border_T1], dim=1), torch.ones(1, num_tasks + 1).double()]
    )
    matrix_SS[-1, -1] = 0.0
    side_S = torch.cat([-(gram_TT @ bounds_T), doubles([free])])
    relaxed_T = (torch.linalg.pinv(matrix_SS, rtol=1e-14) @ side_S)[:-1]
    low, high = float(relaxed_T.min()) - 1.0, float(relaxed_T.max())
    for _ in range(200):
        shift = 0.5 * (low + high)
        too_much = float((relaxed_T - shift).clamp_min(0.0).sum()) > free
        low, high = (shift, high) if too_much else (low, shift)
    expected_T = (relaxed_T - low).clamp_min(0.0) + bounds_T
    weights_T = gram.pareto_efficient(gram_TT, lower_bounds=bounds_T)
    assert_close(weights_T, expected_T, 1e-10 + 1e-14 * condition)


def test_pareto_efficient_refuses_bounds_above_one(draw: Draw) -> None:
    gram_TT = gram_of(draw(3))
    for bounds in ([0.5, 0.5, 0.1], [-0.1, 0.0, 0.0], [float("nan"), 0.0, 0.0]):
        with pytest.raises(ValueError, match="lower_bounds must be"):
            gram.pareto_efficient(gram_TT, lower_bounds=bounds)
    with pytest.raises(ValueError, match="one number a task"):
        gram.pareto_efficient(gram_TT, lower_bounds=[0.1, 0.1])
    all_bound_T = gram.pareto_efficient(gram_TT, lower_bounds=[0.2, 0.7, 0.1])
    assert_close(all_bound_T, doubles([0.2, 0.7, 0.1]), 1e-12)
