"""Wrappers: smoothing, clipping, seldom measuring, a rule on top of a rule."""

from typing import final

import pytest
import torch
from torch import Tensor, nn

from polytask.balancing import (
    DWA,
    FAMO,
    CAGrad,
    Combined,
    Equal,
    EveryNthStep,
    GradDrop,
    GradNorm,
    Measurement,
    NashMTL,
    Need,
    NormClipped,
    PCGrad,
    Scalarization,
    Smoothed,
    Static,
    Uncertainty,
    UPGrad,
    balanced_backward,
)

GRADIENTS = torch.tensor([[1.0, 2.0, 0.0], [-3.0, 1.0, 1.0], [0.5, 0.5, 5.0]]).double()


def measurement(step: int = 0, *, absent: tuple[int, ...] = ()) -> Measurement:
    active_T = torch.tensor([task not in absent for task in range(3)])
    losses_T = torch.tensor([1.0, 2.0, 3.0]).double().masked_fill(~active_T, torch.nan)
    gradients_TP = GRADIENTS * (1 + step) * active_T.unsqueeze(1)
    return Measurement(losses_T, active_T, gradients_TP @ gradients_TP.T, step=step)


@final
class Counting(Scalarization):
    """Weights that tell the step at which they were decided."""

    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return torch.full_like(losses_A, measured.step)


def test_smoothed_is_a_running_mean_from_the_first_weights() -> None:
    balancer = Smoothed(Counting(3), decay=0.75)
    expected = 0.0
    for step in range(4):
        expected = expected if step == 0 else 0.75 * expected + 0.25 * step
        assert balancer(measurement(step)).shared_T.tolist() == pytest.approx([expected] * 3)


def test_clipped_updates_are_no_longer_than_allowed() -> None:
    free, clipped = NashMTL(3), NormClipped(NashMTL(3), max_norm=1.0)
    update_P = free(measurement()).shared_T @ GRADIENTS
    assert update_P.norm().item() == pytest.approx(3**0.5)
    weights = clipped(measurement())
    torch.testing.assert_close(weights.shared_T @ GRADIENTS, update_P / 3**0.5)
    assert weights.private_T.tolist() == [1.0] * 3
    loose = NormClipped(NashMTL(3), max_norm=2.0)(measurement()).shared_T
    torch.testing.assert_close(loose, free(measurement()).shared_T, rtol=0, atol=0)


def test_clipping_a_loss_rule_measures_it_and_leaves_its_heads() -> None:
    balancer = NormClipped(Static(3, weights=[3.0, 2.0, 1.0]), max_norm=0.5)
    assert balancer.needs == Need.GRAM
    weights = balancer(measurement())
    assert (weights.shared_T @ GRADIENTS).norm().item() == pytest.approx(0.5)
    assert weights.private_T.tolist() == [3.0, 2.0, 1.0]


def test_every_nth_step_decides_seldom_and_measures_seldom() -> None:
    balancer = EveryNthStep(UPGrad(3), interval=3)
    active_T = torch.ones(3, dtype=torch.bool)
    needs, weights = [], []
    for step in range(7):
        needs.append(balancer.need(step, active_T))
        measured = measurement(step)
        if needs[-1] == Need.LOSSES:
            measured = Measurement(measured.losses_T, measured.active_T, step=step)
        weights.append(balancer(measured).shared_T)
    assert [need == Need.GRAM for need in needs] == [step % 3 == 0 for step in range(7)]
    for step in range(7):
        assert torch.equal(weights[step], weights[step - step % 3])


def test_a_task_without_a_weight_makes_the_rule_decide() -> None:
    balancer = EveryNthStep(UPGrad(3), interval=100)
    balancer(measurement(0, absent=(2,)))
    two, all_T = torch.tensor([True, True, False]), torch.ones(3, dtype=torch.bool)
    assert balancer.need(1, two) == Need.LOSSES
    assert balancer.need(1, all_T) == Need.GRAM
    expected = UPGrad(3)(measurement(1)).shared_T
    torch.testing.assert_close(balancer(measurement(1)).shared_T, expected)


def test_between_decisions_heads_keep_their_own_gradient_and_tables_get_the_sum() -> None:
    """Weights are applied without measuring: one pass for what is shared, one for the heads."""
    torch.manual_seed(0)
    table, trunk = nn.Embedding(5, 3), nn.Linear(3, 4)
    heads = [nn.Linear(4, 1) for _ in range(3)]
    model = nn.ModuleList([table, trunk, *heads]).double()
    balancer = EveryNthStep(NashMTL(3), interval=2)
    for step in range(2):
        z_BH = trunk(table(torch.tensor([0, 2, 4]))).tanh()
        losses = [(head(z_BH) - 1 - task).square().mean() for task, head in enumerate(heads)]
        parameters = list(model.parameters())
        exact = [
            torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            for loss in losses
        ]
        model.zero_grad()
        record = balanced_backward(losses, balancer, penalty=0.5 * trunk.bias.sum())
        assert (record.gram_TT is None) == (step == 1)
        weights = record.weights.shared_T.tolist()
        assert len(set(weights)) == 3
        for index, parameter in enumerate(parameters):
            rows = [row[index] for row in exact]
            is_head = sum(row is not None for row in rows) == 1
            expected = sum(
                (1.0 if is_head else weight) * row
                for weight, row in zip(weights, rows)
                if row is not None
            )
            if parameter is trunk.bias:
                expected = expected + 0.5
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-12, atol=1e-12)


def test_combined_is_the_product_of_both_rules() -> None:
    """The gradient rule sees the gradients of the weighted losses."""
    weights = [2.0, 0.5, 1.0]
    combined = Combined(Static(3, weights=weights), CAGrad(3, c=0.5))(measurement())
    v_T = torch.tensor(weights).double()
    weighed_TP = v_T.unsqueeze(1) * GRADIENTS
    inner = Measurement(
        v_T * measurement().losses_T, measurement().active_T, weighed_TP @ weighed_TP.T
    )
    expected = CAGrad(3, c=0.5)(inner).shared_T @ weighed_TP
    torch.testing.assert_close(combined.shared_T @ GRADIENTS, expected)
    assert combined.private_T.tolist() == weights


def test_combined_with_equal_losses_is_the_gradient_rule() -> None:
    mine = Combined(Equal(3), NashMTL(3))(measurement())
    theirs = NashMTL(3)(measurement())
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs))


def test_after_step_reaches_the_rule_inside() -> None:
    famo = FAMO(3)
    balancer = Smoothed(Combined(famo, PCGrad(3)))
    balancer(measurement())
    assert balancer.needs_losses_after_step
    balancer.after_step([torch.tensor(0.5), torch.tensor(2.0), torch.tensor(2.9)])
    assert famo.logits_T.any()


@pytest.mark.parametrize("wrap", [Smoothed, NormClipped, lambda b: EveryNthStep(b, interval=2)])
def test_a_rule_per_coordinate_is_refused_by_type(wrap) -> None:
    with pytest.raises(TypeError, match="GradDrop decides coordinate by coordinate"):
        wrap(GradDrop(3))


def test_rules_that_do_not_combine_are_refused_by_type() -> None:
    for loss_rule, gradient_rule in (
        (NashMTL(3), Equal(3)),
        (Equal(3), Equal(3)),
        (Equal(3), GradDrop(3)),
    ):
        with pytest.raises(TypeError, match="a rule on the losses, then a rule on the Gram"):
            Combined(loss_rule, gradient_rule)
    with pytest.raises(TypeError, match="GradNorm weighs losses itself"):
        Combined(Uncertainty(3), GradNorm(3))
    with pytest.raises(ValueError, match="must be equal"):
        Combined(DWA(2), PCGrad(3))


def test_options_of_wrappers_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="decay must lie"):
        Smoothed(Equal(2), decay=1.0)
    with pytest.raises(ValueError, match="max_norm must be above 0"):
        NormClipped(Equal(2), max_norm=0.0)
    with pytest.raises(ValueError, match="interval must be at least 1"):
        EveryNthStep(Equal(2), interval=0)
