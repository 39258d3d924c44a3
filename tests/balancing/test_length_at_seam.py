"""The update is as long as the rule prescribes, also where the Gram matrix is that of a seam.

A seam's gradients are of examples, not summed over the batch: here they are a thirtieth as long as
those of the parameters. Rules whose update does not grow with the gradients used to take that into
their weights: Nash-MTL's update was 20 times as long as at the parameters, and plain SGD diverged.
"""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from polytask.balancing import (
    BALANCERS,
    MGDA,
    Balancer,
    EveryNthStep,
    FairGrad,
    GramRule,
    Measurement,
    NashMTL,
    NormClipped,
    Smoothed,
    Step,
    UPGrad,
    balanced_backward,
)

NUM_TASKS = 3


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh())
        self.heads = nn.ModuleList(nn.Linear(16, 1) for _ in range(NUM_TASKS))
        self.double()

    def forward(self, x_BD: Tensor) -> tuple[list[Tensor], Tensor]:
        z_BH = self.body(x_BD)
        outputs = [head(z_BH).squeeze(1) for head in self.heads]
        losses = [(out - 10.0**t * x_BD[:, t]).square().mean() for t, out in enumerate(outputs)]
        return losses, z_BH


def take(
    network: Network, balancer: Balancer, *, at_seam: bool, loss_scale: float = 1.0
) -> tuple[Step, float]:
    """The record of a step, and the length of the shared gradient."""
    x_BD = torch.randn(500, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    network.zero_grad()
    losses, z_BH = network(x_BD)
    penalty = 1e-3 * network.heads[0].weight.square().sum()
    step = balanced_backward(
        losses,
        balancer,
        seam=[z_BH] if at_seam else None,
        penalty=penalty,
        loss_scale=loss_scale,
    )
    gradients = [parameter.grad.flatten() for parameter in network.body.parameters()]
    return step, float(torch.cat(gradients).norm()) / loss_scale


@pytest.mark.parametrize("loss_scale", [1.0, 1024.0])
def test_nash_mtl_is_as_long_as_the_root_of_the_number_of_tasks(loss_scale: float) -> None:
    for at_seam in (False, True):
        _, length = take(Network(), NashMTL(3), at_seam=at_seam, loss_scale=loss_scale)
        assert length == pytest.approx(NUM_TASKS**0.5, rel=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: FairGrad(3, alpha=2.0),
        lambda: MGDA(3, normalisation="l2"),
        lambda: MGDA(3, normalisation="loss+"),
        lambda: Smoothed(NashMTL(3)),
        lambda: UPGrad(3),
    ],
)
def test_lengths_at_the_seam_and_at_the_parameters_are_alike(make: Callable[[], Balancer]) -> None:
    """Up to what the two Gram matrices, which are different ones, differ in by their angles."""
    _, exact = take(Network(), make(), at_seam=False)
    _, at_seam = take(Network(), make(), at_seam=True)
    assert 0.5 < at_seam / exact < 2.0


@pytest.mark.parametrize("max_norm", [0.5, 1e9])
def test_clipping_at_the_seam_bounds_the_parameters_gradient(max_norm: float) -> None:
    for inner in (NashMTL(3), UPGrad(3)):
        unclipped = take(Network(), inner, at_seam=True)[1]
        clipped = take(Network(), NormClipped(inner, max_norm=max_norm), at_seam=True)[1]
        assert clipped == pytest.approx(min(unclipped, max_norm), rel=1e-6)


def test_the_record_shows_the_weights_that_were_applied() -> None:
    network = Network()
    step, _ = take(network, NashMTL(3), at_seam=True)
    applied = [parameter.grad.clone() for parameter in network.body.parameters()]
    x_BD = torch.randn(500, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    losses, _ = network(x_BD)
    total = sum(w * loss for w, loss in zip(step.weights.shared_T.tolist(), losses))
    expected = torch.autograd.grad(total, list(network.body.parameters()))
    torch.testing.assert_close(applied, list(expected), rtol=1e-6, atol=1e-9)
    assert step.weights.private_T.tolist() == [1.0] * NUM_TASKS


def test_weights_that_are_kept_keep_the_length() -> None:
    network, balancer = Network(), EveryNthStep(NashMTL(3), interval=3)
    lengths = [take(network, balancer, at_seam=True)[1] for _ in range(5)]
    assert lengths == pytest.approx([NUM_TASKS**0.5] * 5, rel=1e-6)
    clipped = NormClipped(EveryNthStep(NashMTL(3), interval=3), max_norm=1.0)
    lengths = [take(network, clipped, at_seam=True)[1] for _ in range(5)]
    assert lengths == pytest.approx([1.0] * 5, rel=1e-6)


@pytest.mark.parametrize(
    "balancer",
    [
        *(rule(3) for rule in BALANCERS.values() if issubclass(rule, GramRule)),
        *(MGDA(3, normalisation=kind) for kind in ("l2", "loss", "loss+")),
        *(FairGrad(3, alpha=alpha) for alpha in (0.0, 0.5, 3.0)),
    ],
    ids=lambda balancer: type(balancer).__name__,
)
def test_the_update_grows_with_the_gradients_by_the_degree(balancer: Balancer) -> None:
    generator = torch.Generator().manual_seed(3)
    jacobian_TP = torch.randn(3, 20, generator=generator, dtype=torch.float64)
    ones_T = torch.ones(3, dtype=torch.float64)

    def direction(scale: float) -> Tensor:
        rows_TP = scale * jacobian_TP
        measured = Measurement(ones_T, ones_T > 0, rows_TP @ rows_TP.T)
        return deepcopy(balancer)(measured).shared_T @ rows_TP

    torch.testing.assert_close(direction(8.0), 8.0**balancer.degree * direction(1.0))
