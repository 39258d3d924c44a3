"""Ways to take a training step, for benchmarks/balancing_step.py: ours, TorchJD's, a plain loop."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polytask.balancing import (
    BALANCERS,
    Balancer,
    GradNorm,
    Measurement,
    Need,
    balanced_backward,
)
from polytask.trunks import TRUNKS, SharedBottom, Trunk

try:
    from torchjd import aggregation as peer
    from torchjd.autojac import jac_to_grad, mtl_backward
except ImportError:
    peer = None

BATCH, WIDTHS = 256, (256, 768, 768, 512)
THEIRS = {
    "mgda": "MGDA",
    "pcgrad": "PCGrad",
    "gradvac": "GradVac",
    "cagrad": "CAGrad",
    "imtl_g": "IMTLG",
    "nash_mtl": "NashMTL",
    "fair_grad": "FairGrad",
    "aligned_mtl": "AlignedMTL",
    "upgrad": "UPGrad",
    "dual_proj": "DualProj",
    "config": "ConFIG",
    "graddrop": "GradDrop",
}
OPTIONS = {"CAGrad": {"c": 0.4}, "FairGrad": {"alpha": 1.0}}


class Model(nn.Module):
    """A trunk with a linear head a task; regressions on targets of different sizes."""

    def __init__(self, trunk: Trunk, num_tasks: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList(nn.Linear(trunk.out_features, 1) for _ in range(num_tasks))
        self.x_BD = torch.randn(BATCH, WIDTHS[0])
        self.targets = [(1 + t) * torch.randn(BATCH, 1) for t in range(num_tasks)]
        self.optimizer = torch.optim.Adam(self.parameters(), lr=1e-4, fused=True)

    def forward(self) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        seam = tuple(tensor.view_as(tensor) for tensor in self.trunk.share(self.x_BD))
        heads = zip(self.heads, self.trunk.split(seam), self.targets)
        return [(head(h_BH) - y_B1).square().mean() for head, h_BH, y_B1 in heads], seam


def make_trunk(name: str, num_tasks: int) -> Trunk:
    """About 1.2 M parameters each; PLE's defaults have them at T = 11 and a third of that at T = 3."""
    if name == "shared_bottom":
        return SharedBottom(WIDTHS[0], num_tasks, hidden=WIDTHS[1:])
    if name == "mmoe":
        return TRUNKS[name](WIDTHS[0], num_tasks, num_experts=8, expert_hidden=(256, 256))
    return TRUNKS[name](WIDTHS[0], num_tasks)


Backward = Callable[[list[Tensor], tuple[Tensor, ...]], object]


@dataclass(frozen=True)
class Variant:
    """One way to take a step, with a model of its own; all start from the same weights."""

    name: str
    model: Model
    backward: Backward

    def step(self) -> float:
        started = time.process_time()
        self.model.optimizer.zero_grad()
        losses, seam = self.model()
        self.backward(losses, seam)
        self.model.optimizer.step()
        return time.process_time() - started


def ours(balancer: Balancer, *, at_seam: bool) -> Backward:
    def backward(losses: list[Tensor], seam: tuple[Tensor, ...]) -> None:
        where = seam if at_seam and balancer.needs is not Need.LOSSES else None
        balanced_backward(losses, balancer, seam=where, epoch=0)
        if balancer.needs_losses_after_step:
            balancer.after_step([loss.detach() for loss in losses])

    return backward


def torchjd(rule: str, num_tasks: int) -> Iterator["Variant"]:
    """TorchJD's way with the same rule, if it is installed and has it."""
    if peer is None or rule not in THEIRS:
        return
    name = THEIRS[rule]
    aggregator = getattr(peer, name)(
        **({"n_tasks": num_tasks} if name == "NashMTL" else OPTIONS.get(name, {}))
    )

    def make(model: Model) -> Backward:
        def backward(losses: list[Tensor], seam: tuple[Tensor, ...]) -> None:
            mtl_backward(losses, features=seam)
            jac_to_grad(list(model.trunk.parameters()), aggregator)

        return backward

    yield variant(f"TorchJD {rule}", num_tasks, make)


def loop(rule: str, num_tasks: int) -> "Variant":
    """LibMTL's way to the gradients, with our solver."""
    balancer = BALANCERS[rule](num_tasks)

    def make(model: Model) -> Backward:
        shared = list(model.trunk.parameters())
        return lambda losses, seam: _loop(losses, shared, balancer)

    return variant(f"loop {rule}", num_tasks, make)


def _loop(losses: list[Tensor], shared: Sequence[nn.Parameter], balancer: Balancer) -> None:
    sizes = [parameter.numel() for parameter in shared]
    rows_TP = torch.zeros(len(losses), sum(sizes))
    for task, (loss, row_P) in enumerate(zip(losses, rows_TP)):
        loss.backward(retain_graph=task + 1 < len(losses))
        for parameter, part_N in zip(shared, row_P.split(sizes)):
            assert parameter.grad is not None
            part_N.copy_(parameter.grad.view(-1))
            parameter.grad.zero_()
    losses_T = torch.stack(losses).detach().double()
    present_T = torch.ones(len(losses), dtype=torch.bool)
    gram_TT = (rows_TP @ rows_TP.T).double()
    weights_T = balancer(Measurement(losses_T, present_T, gram_TT)).shared_T
    update_P = (weights_T.float()[:, None] * rows_TP).sum(0)
    for parameter, part_N in zip(shared, update_P.split(sizes)):
        parameter.grad = part_N.view_as(parameter).clone()


def variant(
    name: str, num_tasks: int, make: Callable[[Model], Backward], *, trunk: str = "shared_bottom"
) -> Variant:
    torch.manual_seed(0)
    model = Model(make_trunk(trunk, num_tasks), num_tasks)
    return Variant(name, model, make(model))


def of_rule(
    rule: str,
    num_tasks: int,
    *,
    at_seam: bool = False,
    trunk: str = "shared_bottom",
    name: str = "",
) -> Variant:
    balancer = BALANCERS[rule](num_tasks)
    return variant(name or rule, num_tasks, lambda _: ours(balancer, at_seam=at_seam), trunk=trunk)


def gradient_rules() -> list[str]:
    return [name for name, rule in BALANCERS.items() if rule.needs is not Need.LOSSES]


def exact_variants(num_tasks: int) -> Iterator[Variant]:
    for rule in gradient_rules():
        yield of_rule(rule, num_tasks)
        yield from torchjd(rule, num_tasks)
        if rule in ("pcgrad", "nash_mtl"):
            yield loop(rule, num_tasks)


def seam_variants(num_tasks: int) -> Iterator[Variant]:
    """GradNorm twice: at the seam, and at the last shared layer, which is its default."""
    for rule in gradient_rules():
        yield of_rule(rule, num_tasks, at_seam=True)
    at_seam = GradNorm(num_tasks, at_last_layer=False)
    yield variant("gradnorm at the seam", num_tasks, lambda _: ours(at_seam, at_seam=True))
