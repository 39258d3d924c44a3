"""Laws of the rules per coordinate, held by `combine`: their weights, which are ones, prove nothing."""

import pytest
import torch
from torch import Tensor

from polytask.balancing import BALANCERS, CoordinateRule, GradDrop, Measurement

NUM_COORDINATES = 50


@pytest.fixture(
    params=[name for name, rule in BALANCERS.items() if issubclass(rule, CoordinateRule)]
)
def rule(request: pytest.FixtureRequest) -> CoordinateRule:
    made = BALANCERS[request.param](4)
    assert isinstance(made, CoordinateRule)
    return made


def draw(num_tasks: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_tasks, NUM_COORDINATES, generator=generator, dtype=torch.float64)


def combined(rule: CoordinateRule, jacobian_AP: Tensor, tasks: list[int], step: int = 0) -> Tensor:
    losses_A = torch.ones(len(tasks), dtype=torch.float64)
    measured = Measurement(losses_A, losses_A > 0, jacobian_AP @ jacobian_AP.T, step=step)
    return rule.combine(jacobian_AP, torch.tensor(tasks), measured)


def test_each_coordinate_is_a_sum_of_some_of_the_tasks_gradients_of_one_sign(rule) -> None:
    jacobian_TP = draw(4)
    update_P = combined(rule, jacobian_TP, [0, 1, 2, 3])
    rising_P, falling_P = jacobian_TP.clamp(min=0).sum(0), jacobian_TP.clamp(max=0).sum(0)
    is_rising_P = torch.isclose(update_P, rising_P)
    assert (is_rising_P | torch.isclose(update_P, falling_P)).all()
    assert 0 < int(is_rising_P.sum()) < NUM_COORDINATES


def test_a_single_task_is_left_alone(rule) -> None:
    torch.testing.assert_close(combined(rule, draw(1), [0]), draw(1)[0])


def test_a_zero_row_and_an_absent_task_change_nothing(rule) -> None:
    jacobian_TP = draw(4)
    jacobian_TP[2] = 0.0
    with_zeros_P = combined(rule, jacobian_TP, [0, 1, 2, 3])
    torch.testing.assert_close(combined(rule, jacobian_TP[[0, 1, 3]], [0, 1, 3]), with_zeros_P)


def test_tasks_may_come_in_any_order(rule) -> None:
    order = [2, 0, 3, 1]
    plain_P = combined(rule, draw(4), [0, 1, 2, 3])
    torch.testing.assert_close(combined(rule, draw(4)[order], [0, 1, 2, 3]), plain_P)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_the_update_grows_with_the_gradients(rule, scale: float) -> None:
    plain_P = combined(rule, draw(4), [0, 1, 2, 3])
    scaled_P = combined(rule, scale * draw(4), [0, 1, 2, 3])
    torch.testing.assert_close(scaled_P, scale * plain_P, rtol=1e-12, atol=0)


def test_chance_is_a_function_of_the_seed_and_the_step(rule) -> None:
    first_P = combined(rule, draw(4), [0, 1, 2, 3], step=1)
    assert torch.equal(first_P, combined(rule, draw(4), [0, 1, 2, 3], step=1))
    assert not torch.equal(first_P, combined(rule, draw(4), [0, 1, 2, 3], step=2))
    other = combined(GradDrop(4, seed=1), draw(4), [0, 1, 2, 3], step=1)
    assert not torch.equal(first_P, other)
