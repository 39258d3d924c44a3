"""What a rule does without options, and what a caller's options reach."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from polytask.balancing import (
    FAMO,
    Accumulator,
    AlignedMTL,
    Balancer,
    Combined,
    Decayed,
    EveryNthStep,
    NormClipped,
    Smoothed,
    Step,
    UPGrad,
    balanced_backward,
    measurement,
)


def two_losses() -> list[Tensor]:
    """Orthogonal gradients of lengths 1 and 3."""
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    return [x[0], 3.0 * x[1]]


def test_aligned_mtl_prefers_each_task_by_one() -> None:
    """J = diag(1, 3): both singular values become 1. TorchJD's default would halve the weights."""
    step = balanced_backward(two_losses(), AlignedMTL(2))
    torch.testing.assert_close(step.weights.shared_T, torch.tensor([1.0, 1.0 / 3.0]).double())
    halved = balanced_backward(two_losses(), AlignedMTL(2, preference=[0.5, 0.5]))
    torch.testing.assert_close(halved.weights.shared_T, 0.5 * step.weights.shared_T)


def test_famo_decays_its_logits_by_a_hundredth() -> None:
    def logits(famo: FAMO) -> list[float]:
        for _ in range(5):
            losses = two_losses()
            balanced_backward(losses, famo)
            famo.after_step([0.5 * losses[0], losses[1]])
        return famo.logits_T.tolist()

    assert logits(FAMO(2)) == logits(FAMO(2, weight_decay=0.01))
    assert logits(FAMO(2)) != logits(FAMO(2, weight_decay=0.001))


@pytest.mark.parametrize("epoch", [0, 3])
def test_the_epoch_reaches_the_rule(epoch: int) -> None:
    def accumulated(balancer: Balancer) -> Step:
        accumulator = Accumulator(balancer)
        accumulator.add(two_losses())
        return accumulator.finish(epoch=epoch)

    def at_once(balancer: Balancer) -> Step:
        return balanced_backward(two_losses(), balancer, epoch=epoch)

    for take in (at_once, accumulated):
        weights = take(Decayed(2, decay=[0.5, 0.9])).weights
        assert weights.shared_T.tolist() == pytest.approx([0.5**epoch, 0.9**epoch])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda: EveryNthStep(FAMO(2), interval=3),
        lambda: Smoothed(EveryNthStep(FAMO(2), interval=3)),
        lambda: NormClipped(EveryNthStep(FAMO(2), interval=3)),
        lambda: EveryNthStep(Combined(FAMO(2), UPGrad(2)), interval=3),
    ],
)
def test_famo_asks_for_losses_only_after_steps_that_it_decided(
    wrap: Callable[[], Balancer],
) -> None:
    """The losses after a step cost a forward pass; in between nobody would listen to them."""
    balancer, asked = wrap(), []
    assert not balancer.needs_losses_after_step
    for _ in range(6):
        losses = two_losses()
        balanced_backward(losses, balancer)
        asked.append(balancer.needs_losses_after_step)
        if asked[-1]:
            balancer.after_step([0.9 * loss for loss in losses])
            assert not balancer.needs_losses_after_step
    assert asked == [True, False, False, True, False, False]


def test_all_that_a_step_reads_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """From an accelerator each reading waits for all that was computed before it."""
    readings = []
    read = measurement.read_scalars

    def counted(scalars: list[Tensor | None]) -> list[float]:
        readings.append(len(scalars))
        return read(scalars)

    monkeypatch.setattr(measurement, "read_scalars", counted)
    losses = two_losses()
    balanced_backward(losses, UPGrad(2), penalty=losses[0].square())
    assert readings == [3]
    with pytest.raises(ValueError, match="the penalty is inf"):
        balanced_backward(two_losses(), UPGrad(2), penalty=two_losses()[0] / 0.0)
