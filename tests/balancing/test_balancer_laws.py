"""The laws that hold for every rule, on measurements made by hand."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from polytask.balancing import (
    BALANCERS,
    Balancer,
    CosineGate,
    Measurement,
    Need,
    Scalarization,
    Weights,
)

# One loss alone: these formulas have a weight of their own, the others are the identity.
OWN_WEIGHT_ALONE = {"uncertainty", "scale_invariant", "imtl_l", "stch"}


def measure(
    num_tasks: int,
    *,
    step: int = 0,
    seed: int = 0,
    absent: tuple[int, ...] = (),
    scale: float = 1.0,
    gradients_TP: Tensor | None = None,
) -> Measurement:
    """A measurement of random gradients of unlike lengths; some are absent."""
    generator = torch.Generator().manual_seed(1000 * seed + step)
    losses_T = torch.rand(num_tasks, generator=generator, dtype=torch.float64) + 0.1
    if gradients_TP is None:
        gradients_TP = torch.randn(num_tasks, 7, generator=generator, dtype=torch.float64)
        gradients_TP *= 3.0 ** torch.arange(num_tasks).unsqueeze(1)
    gradients_TP = scale * gradients_TP
    active_T = torch.tensor([task not in absent for task in range(num_tasks)])
    gradients_TP = gradients_TP * active_T.unsqueeze(1)
    losses_T = (scale * losses_T).masked_fill(~active_T, torch.nan)
    return Measurement(losses_T, active_T, gradients_TP @ gradients_TP.T, step=step, epoch=step)


def advance(balancer: Balancer, measured: Measurement) -> Weights:
    """One optimizer step, with what FAMO asks for after it."""
    weights = balancer(measured)
    after = [0.9**task * loss for task, loss in enumerate(measured.losses_T)]
    balancer.after_step([None if loss.isnan() else loss for loss in after])
    return weights


def equal(mine: Weights, theirs: Weights) -> bool:
    return all(torch.equal(a, b) for a, b in zip(mine, theirs))


def test_the_registry_makes_every_rule_from_a_number_of_tasks() -> None:
    for name, rule in BALANCERS.items():
        balancer = rule(3)
        assert isinstance(balancer.needs, Need), name
        assert (balancer.needs == Need.LOSSES) == isinstance(balancer, Scalarization)


def test_weights_are_finite_detached_float64_on_the_host(member) -> None:
    balancer = member.make(3)
    for step in range(5):
        weights = advance(balancer, measure(3, step=step))
        for weights_T in weights:
            assert weights_T.shape == (3,)
            assert weights_T.dtype == torch.float64
            assert not weights_T.requires_grad
            assert weights_T.isfinite().all()
        assert int(balancer.num_steps) == step + 1


def test_a_fresh_object_with_the_state_goes_on_bit_for_bit(member) -> None:
    for num_before in (0, 1, 4):
        balancer = member.make(3)
        for step in range(num_before):
            advance(balancer, measure(3, step=step, absent=(1,) if step == 2 else ()))
        fresh = member.make(3)
        fresh.load_state_dict({k: v.clone() for k, v in balancer.state_dict().items()})
        for step in range(num_before, num_before + 4):
            measured = measure(3, step=step)
            assert equal(advance(balancer, measured), advance(fresh, measured))


def test_what_happened_is_in_the_state(member) -> None:
    """Two objects with one state decide alike: nothing hides outside of it."""
    balancer, other = member.make(3), member.make(3)
    for step in range(5):
        advance(balancer, measure(3, step=step))
        advance(other, measure(3, step=step, seed=9))
    other.load_state_dict(balancer.state_dict())
    for step in range(5, 8):
        measured = measure(3, step=step)
        assert equal(advance(balancer, measured), advance(other, measured))


def test_moving_the_module_moves_no_state(member) -> None:
    balancer, moved = member.make(3), member.make(3).to(torch.bfloat16).half()
    for step in range(4):
        measured = measure(3, step=step)
        assert equal(advance(balancer, measured), advance(moved, measured))


def test_an_absent_task_is_as_if_it_did_not_exist(member) -> None:
    absent = 2 if member.has_main else 1
    present = [task for task in range(4) if task != absent]
    balancer, without = member.make(4), member.make(3)
    for step in range(6):
        measured = measure(4, step=step, absent=(absent,))
        weights = advance(balancer, measured)
        others = measured.of(torch.tensor(present))
        after = [0.9**task * loss for task, loss in zip(present, others.losses_T)]
        expected = without(others)
        without.after_step(after)
        for mine, theirs in zip(weights, expected):
            assert mine[absent] == 0
            torch.testing.assert_close(mine[present], theirs, rtol=1e-13, atol=1e-13)


def test_an_absent_task_keeps_its_state(member) -> None:
    """After an absence the rule goes on: a step without any task changes nothing but the count."""
    balancer, paused = member.make(3), member.make(3)
    for step in range(3):
        assert equal(
            advance(balancer, measure(3, step=step)), advance(paused, measure(3, step=step))
        )
    before = {k: v.clone() for k, v in paused.state_dict().items() if not k.endswith("num_steps")}
    weights = advance(paused, measure(3, step=3, absent=(0, 1, 2)))
    assert not weights.shared_T.any()
    assert not weights.private_T.any()
    for key, value in paused.state_dict().items():
        if key in before:
            torch.testing.assert_close(value, before[key], rtol=0, atol=0, equal_nan=True)


def test_permuting_the_tasks_permutes_the_weights(member) -> None:
    if member.is_random:
        pytest.skip("draws numbers for tasks in their order")
    num_tasks = 2 if member.orders else 4
    order = torch.tensor([1, 0] if member.orders else [2, 0, 3, 1])
    balancer, permuted = member.make(num_tasks), member.make(num_tasks)
    if member.has_main:
        permuted = CosineGate(num_tasks, main=order.tolist().index(0))
    for step in range(5):
        measured = measure(num_tasks, step=step)
        weights = balancer(measured)
        mixed = permuted(_in_order(measured, order))
        after = [0.9**task * loss for task, loss in enumerate(measured.losses_T)]
        balancer.after_step(after)
        permuted.after_step([after[task] for task in order.tolist()])
        for mine, theirs in zip(weights, mixed):
            torch.testing.assert_close(mine[order], theirs, rtol=1e-9, atol=1e-9)


def _in_order(measured: Measurement, order: Tensor) -> Measurement:
    gram_TT = measured.gram_TT
    assert gram_TT is not None
    return Measurement(
        measured.losses_T[order],
        measured.active_T[order],
        gram_TT[order][:, order],
        step=measured.step,
        epoch=measured.epoch,
    )


def test_a_single_task_is_left_alone(member) -> None:
    if member.name in OWN_WEIGHT_ALONE or not member.name.isidentifier():
        pytest.skip("its formula weighs a single loss")
    balancer = member.make(1)
    for step in range(3):
        weights = advance(balancer, measure(1, step=step, scale=1e3))
        expected = 0.99**step if member.name == "decayed" else 1.0
        assert weights.shared_T.item() == weights.private_T.item() == pytest.approx(expected)


# Formulas with a logarithm of the losses.
REFUSE_ZERO = {"gls", "scale_invariant", "stch", "stch, learned nadir", "famo", "famo and pcgrad"}


@pytest.mark.parametrize("odd", [0.0, -0.5])
def test_a_loss_that_is_not_positive_is_weighed_or_refused_by_name(member, odd: float) -> None:
    """Whoever refuses says which task, which value and what to do, and has not changed by then."""
    balancer = member.make(3)
    advance(balancer, measure(3))
    measured = measure(3, step=1)
    measured.losses_T[1] = odd
    rules = [rule for rule in balancer.modules() if isinstance(rule, Balancer)]
    refuses_negative = any(rule.needs_positive_losses for rule in rules)
    assert refuses_negative or member.name not in REFUSE_ZERO
    if not (refuses_negative if odd < 0 else member.name in REFUSE_ZERO):
        for step in range(1, 5):
            assert all(w_T.isfinite().all() for w_T in balancer(replace(measured, step=step)))
            balancer.after_step(list(measured.losses_T))
        return
    before = {key: value.clone() for key, value in balancer.state_dict().items()}
    with pytest.raises(ValueError, match=rf"needs losses .* task 1 is {odd:g}; add a constant"):
        balancer(measured)
    for key, value in balancer.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1.0, 1e4, 1e8])
def test_no_scale_breaks_a_rule(member, scale: float) -> None:
    balancer = member.make(3)
    for step in range(3):
        weights = advance(balancer, measure(3, step=step, scale=scale))
        assert all(weights_T.isfinite().all() for weights_T in weights)
        assert weights.shared_T.any()


DEGENERATE: dict[str, Callable[[], Tensor]] = {
    "all zero": lambda: torch.zeros(3, 5),
    "one zero": lambda: torch.tensor([[1.0, 2.0], [0.0, 0.0], [3.0, -1.0]]),
    "duplicates": lambda: torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]),
    "opposite": lambda: torch.tensor([[1.0, 2.0], [-1.0, -2.0], [1.0, 2.0]]),
    "more tasks than parameters": lambda: torch.tensor([[1.0], [2.0], [-3.0]]),
}


@pytest.mark.parametrize("kind", DEGENERATE)
def test_no_gradients_break_a_rule(member, kind: str) -> None:
    balancer = member.make(3)
    for step in range(3):
        measured = measure(3, step=step, gradients_TP=DEGENERATE[kind]().double())
        weights = advance(balancer, measured)
        assert all(weights_T.isfinite().all() for weights_T in weights)


def test_no_task_may_be_missing_from_the_measurement(member) -> None:
    with pytest.raises(ValueError, match="made for 3 tasks, but was given 2"):
        member.make(3)(measure(2))


@pytest.mark.parametrize("name", BALANCERS)
def test_a_rule_needs_at_least_one_task(name: str) -> None:
    with pytest.raises(ValueError, match="num_tasks must be at least 1"):
        BALANCERS[name](0)
