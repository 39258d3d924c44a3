"""CAGrad, UPGrad and DualProj: strong duality and optimality conditions."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from polytask.balancing import gram
from polytask.balancing.gram.cagrad import _Caution

Draw = Callable[..., Tensor]
NUMS_TASKS = (2, 3, 5, 10, 20, 40)


def doubles(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gram_of(jacobian_TP: Tensor) -> Tensor:
    return jacobian_TP @ jacobian_TP.T


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Relative to the length of the whole vector."""
    assert float((actual - expected).norm()) <= tolerance * float(expected.norm())


@pytest.mark.parametrize("c", [0.1, 0.5, 0.9, 2.0])
def test_cagrad_primal_equals_dual(jacobian_TP: Tensor, c: float) -> None:
    num_tasks = len(jacobian_TP)
    weights_T = gram.cagrad(gram_of(jacobian_TP), c=c)
    multipliers_T = weights_T - 1.0 / num_tasks
    mean_P = jacobian_TP.mean(dim=0)
    direction_P = weights_T @ jacobian_TP
    radius = c * float(mean_P.norm())
    assert float((direction_P - mean_P).norm()) <= radius * (1.0 + 1e-10)
    assert float(multipliers_T.min()) >= -1e-12
    primal = float((jacobian_TP @ direction_P).min())
    is_stationary = float((direction_P - mean_P).norm()) < radius * (1.0 - 1e-10)
    v_P = multipliers_T / float(multipliers_T.sum()) @ jacobian_TP
    # Inside the ball the least gain is nobody's: the point is Pareto-stationary, both are zero.
    dual = 0.0 if is_stationary else float(v_P @ mean_P) + radius * float(v_P.norm())
    scale = float(jacobian_TP.norm(dim=1).min() * mean_P.norm())
    assert abs(primal - dual) < 1e-9 * scale


def test_cagrad_finds_the_same_both_ways(
    jacobian_TP: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_P = gram.cagrad(gram_of(jacobian_TP), c=0.5) @ jacobian_TP
    monkeypatch.setattr(_Caution, "by_pivoting", lambda problem: None)
    second_P = gram.cagrad(gram_of(jacobian_TP), c=0.5) @ jacobian_TP
    assert_close(second_P, first_P, 1e-9)


def test_cagrad_at_a_stationary_point_does_not_chase_rounding() -> None:
    """Two gradients oppose each other up to rounding: nothing there for all tasks to gain."""
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        jacobian_TP = torch.randn(4, 3, generator=generator, dtype=torch.float64)
        jacobian_TP[1] = -(0.7 + 0.05 * seed) * jacobian_TP[0]
        assert float(gram.cagrad(gram_of(jacobian_TP), c=0.95).max()) < 100.0


def test_cagrad_limits(draw: Draw) -> None:
    for num_tasks in NUMS_TASKS:
        jacobian_TP = draw(num_tasks)
        gram_TT = gram_of(jacobian_TP)
        assert_close(gram.cagrad(gram_TT, c=0.0), doubles([1 / num_tasks] * num_tasks), 1e-15)
        far_P = gram.cagrad(gram_TT, c=1e7) @ jacobian_TP
        shortest_P = gram.mgda(gram_TT) @ jacobian_TP
        assert_close(far_P / far_P.norm(), shortest_P / shortest_P.norm(), 1e-6)


def test_cagrad_factors(draw: Draw) -> None:
    gram_TT = gram_of(draw(5))
    plain_T = gram.cagrad(gram_TT, c=0.5)
    assert_close(gram.cagrad(gram_TT, c=0.5, rescale=1), plain_T / 1.25, 1e-14)
    assert_close(gram.cagrad(gram_TT, c=0.5, rescale=2), plain_T / 1.5, 1e-14)
    assert_close(gram.cagrad(gram_TT, c=0.5, reduction="sum"), 5.0 * plain_T, 1e-14)


def test_upgrad_is_a_sum_of_projections(jacobian_TP: Tensor) -> None:
    """KKT of each: v >= p e_i, (G v)_j >= 0, and one of the two with equality."""
    num_tasks = len(jacobian_TP)
    gram_TT = gram_of(jacobian_TP)
    lengths_T = jacobian_TP.norm(dim=1)
    total_T = torch.zeros(num_tasks).double()
    for index in range(num_tasks):
        unit_T = torch.zeros(num_tasks).double()
        unit_T[index] = 1.0 / num_tasks
        weights_T = gram.upgrad(gram_TT, preference=unit_T)
        direction_P = weights_T @ jacobian_TP
        scale = float(lengths_T[index]) / num_tasks
        slack_T = jacobian_TP @ direction_P / lengths_T / scale
        added_T = (weights_T - unit_T) * lengths_T / scale
        assert float(slack_T.min()) > -1e-11
        assert float(added_T.min()) >= -1e-14
        assert float((slack_T * added_T).abs().max()) < 1e-10
        total_T += weights_T
    assert_close(gram.upgrad(gram_TT) @ jacobian_TP, total_T @ jacobian_TP, 1e-9)


def test_dual_proj_is_a_projection(jacobian_TP: Tensor) -> None:
    num_tasks = len(jacobian_TP)
    lengths_T = jacobian_TP.norm(dim=1)
    preference_T = torch.linspace(0.0, 1.0, num_tasks, dtype=torch.float64)
    weights_T = gram.dual_proj(gram_of(jacobian_TP), preference=preference_T)
    scale = float((preference_T @ jacobian_TP).norm())
    slack_T = jacobian_TP @ (weights_T @ jacobian_TP) / lengths_T / scale
    added_T = (weights_T - preference_T) * lengths_T / scale
    assert float(slack_T.min()) > -1e-11
    assert float(added_T.min()) >= -1e-14
    assert float((slack_T * added_T).abs().max()) < 1e-10


def test_preferences_are_checked(draw: Draw) -> None:
    gram_TT = gram_of(draw(3))
    for rule in (gram.upgrad, gram.dual_proj):
        with pytest.raises(ValueError, match="preference must be >= 0"):
            rule(gram_TT, preference=[1.0, -1.0, 0.0])
