"""Two processes that balance together: `balance(FOLDER)` forks them from this one, which has computed nothing.

Every rule takes a few steps on a small model; what each step decided, and all gradients, are
written to FOLDER/0 and FOLDER/1. Rank 0 takes the same steps once more, alone and with the whole batch.
"""

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from conftest import MEMBERS
from polytask.balancing import (
    MGDA,
    Balancer,
    Equal,
    EveryNthStep,
    GradDrop,
    GradNorm,
    NashMTL,
    Need,
    PCGrad,
    Ranks,
    Step,
    Uncertainty,
    UPGrad,
    balanced_backward,
)
from two_processes import in_two_processes

NUM_ROWS, NUM_TASKS, NUM_STEPS = 16, 3, 3
ROWS_OF_RANK = (slice(0, 11), slice(11, 16))

Losses = list[Tensor | None]


@dataclass(frozen=True)
class Batch:
    """The rows of this process, and its share of the losses."""

    ids_B: Tensor
    numbers_BN: Tensor
    labels_BT: Tensor
    ranks: Ranks | None

    @classmethod
    def of_step(cls, step: int, ranks: Ranks | None) -> "Batch":
        """Task 2 has labels on the second rank only. In step 1 nobody has a label of task 1; in
        step 2 the first rank has no row."""
        generator = torch.Generator().manual_seed(step)
        ids_B = torch.randint(11, (NUM_ROWS,), generator=generator)
        numbers_BN = torch.randn(NUM_ROWS, 2, generator=generator).double()
        labels_BT = torch.randint(2, (NUM_ROWS, NUM_TASKS), generator=generator).double()
        labels_BT[torch.rand(NUM_ROWS, NUM_TASKS, generator=generator) < 0.2] = torch.nan
        labels_BT[ROWS_OF_RANK[0], 2] = torch.nan
        if step == 1:
            labels_BT[:, 1] = torch.nan
        rows = slice(0, NUM_ROWS) if ranks is None else ROWS_OF_RANK[ranks.rank]
        if step == 2:
            rows = slice(max(rows.start, ROWS_OF_RANK[1].start), rows.stop)
        return cls(ids_B[rows], numbers_BN[rows], labels_BT[rows], ranks)

    def losses(self, logits: Sequence[Tensor]) -> Losses:
        is_labelled_BT = ~self.labels_BT.isnan()
        counts_T = is_labelled_BT.sum(0).double()
        counts_T = counts_T if self.ranks is None else self.ranks.mean(counts_T)
        labels_BT = self.labels_BT.nan_to_num()
        losses: Losses = []
        for task, count in enumerate(counts_T):
            each_B = functional.binary_cross_entropy_with_logits(
                logits[task], labels_BT[:, task], reduction="none"
            )
            losses.append((each_B * is_labelled_BT[:, task]).sum() / count if count > 0 else None)
        return losses


class Mixture(nn.Module):
    """An embedding beside numbers, two experts, a gate and a head a task; task 1 is given task 0."""

    def __init__(self, *, sparse: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(11, 3, sparse=sparse)
        self.own = nn.Embedding(11, 1, sparse=sparse)
        self.experts = nn.ModuleList(nn.Linear(5, 4) for _ in range(2))
        self.gates = nn.ModuleList(nn.Linear(5, 2) for _ in range(NUM_TASKS))
        self.heads = nn.ModuleList(nn.Linear(4, 1) for _ in range(NUM_TASKS))
        self.double()

    def forward(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        x_BD = torch.cat([self.table(batch.ids_B), batch.numbers_BN], dim=1)
        shared = [x_BD, *(expert(x_BD).tanh() for expert in self.experts)]
        seam = [tensor.view_as(tensor) for tensor in shared]
        x_BD, experts_BEH = seam[0], torch.stack(seam[1:], dim=1)
        logits = [
            head((gate(x_BD).softmax(1).unsqueeze(2) * experts_BEH).sum(1)).squeeze(1)
            for gate, head in zip(self.gates, self.heads)
        ]
        logits[1] = logits[1] + logits[0]
        logits[2] = logits[2] + self.own(batch.ids_B).squeeze(1)
        return logits, seam

    def penalty(self) -> Tensor:
        return 0.1 * self.experts[0].weight.square().sum() + self.gates[1].weight.square().sum()


def take_step(parameters: Sequence[Tensor]) -> list[Tensor]:
    """Plain gradient descent; returns the gradients, whole and dense."""
    gradients = []
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is None:
                continue
            gradient = parameter.grad
            parameter -= 0.1 * (gradient.to_dense() if gradient.is_sparse else gradient)
            whole = gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient
            gradients.append(whole.to_dense() if whole.is_sparse else whole.clone())
    return gradients


def decided(record: Step) -> list[Tensor]:
    gram = [] if record.gram_TT is None else [record.gram_TT]
    return [record.losses_T, *record.weights, *gram]


def train(
    balancer: Balancer, ranks: Ranks | None, *, where: str, sparse: bool = False
) -> list[Tensor]:
    """What each step decided, and its gradients; step 0 adds to gradients that are there already."""
    model = Mixture(sparse=sparse)
    parameters = [*model.parameters()]
    found: list[Tensor] = []
    for step in range(NUM_STEPS):
        batch = Batch.of_step(step, ranks)
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter) if step == 0 and not sparse else None
        logits, seam = model(batch)
        record = balanced_backward(
            batch.losses(logits),
            balancer,
            seam=seam if where == "seam" else None,
            parameters=[model.table.weight] if where == "table" else None,
            penalty=model.penalty(),
            epoch=step // 2,
            ranks=ranks,
        )
        assert model.table.weight.grad is not None
        assert model.table.weight.grad.is_sparse == sparse
        found += [*decided(record), *take_step(parameters)]
        after = batch.losses(model(batch)[0])
        balancer.after_step(after if ranks is None else ranks.mean_losses(after))
    return found


class Plain(nn.Module):
    """A perceptron and heads, whose layers two ranks cannot halve."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh())
        self.heads = nn.ModuleList(nn.Linear(3, 1) for _ in range(NUM_TASKS))
        self.double()

    def forward(self, numbers_BN: Tensor) -> list[Tensor]:
        z_BH = self.trunk(numbers_BN)
        return [head(z_BH).sum(1) for head in self.heads]


def train_sharded(balancer: Balancer, ranks: Ranks | None, *, narrowed: bool) -> list[Tensor]:
    """As `train`, with `fully_shard` if there are ranks."""
    model = Plain()
    if ranks is not None:
        shard(model, ranks)
    parameters = [*model.parameters()]
    measured = [*model.trunk[2].parameters()] if narrowed else None
    found: list[Tensor] = []
    for step in range(NUM_STEPS):
        batch = Batch.of_step(step, ranks)
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter) if step == 0 else None
        losses = batch.losses(model(batch.numbers_BN))
        penalty = 0.1 * parameters[0].square().sum()
        if ranks is None:
            record = balanced_backward(losses, balancer, parameters=measured, penalty=penalty)
        else:
            from polytask.balancing.sharded import sharded_backward

            record = sharded_backward(
                losses, balancer, parameters, ranks=ranks, parameters=measured, penalty=penalty
            )
        found += [*decided(record), *take_step(parameters)]
    return found


def shard(model: Plain, ranks: Ranks) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (ranks.world,))
    fully_shard(model.trunk, mesh=mesh)
    fully_shard(model, mesh=mesh)


def refusals(ranks: Ranks) -> list[str]:
    """What is said where the ranks do not fit together; the same on all of them."""
    from polytask.balancing.sharded import sharded_backward

    theta, other = (torch.ones(2, requires_grad=True) for _ in range(2))

    def losses(*, gone: bool = False, more: bool = False, factor: float = 1.0) -> Losses:
        second = theta.square().sum() * factor + (other.sum() if more else 0)
        return [theta.sum(), None if gone else second]

    is_first = ranks.rank == 0
    attempts = [
        lambda: balanced_backward(losses(gone=is_first), Equal(2), ranks=ranks),
        lambda: balanced_backward(losses(more=is_first), Equal(2), ranks=ranks),
        lambda: balanced_backward(losses(more=is_first), MGDA(2), ranks=ranks),
        lambda: balanced_backward(
            losses(factor=1.0 if is_first else math.inf), MGDA(2), ranks=ranks
        ),
        lambda: sharded_backward(losses(), MGDA(2), [theta], ranks=ranks),
        lambda: sharded_backward(losses(), GradDrop(2), [], ranks=ranks),
        lambda: sharded_backward(losses(), GradNorm(2), [], ranks=ranks),
    ]
    said = []
    for attempt in attempts:
        try:
            attempt()
        except ValueError as error:
            said.append(str(error))
    assert theta.grad is None
    return said


def for_shards() -> dict[str, Balancer]:
    return {
        "equal": Equal(NUM_TASKS),
        "uncertainty": Uncertainty(NUM_TASKS),
        "mgda": MGDA(NUM_TASKS),
        "pcgrad": PCGrad(NUM_TASKS),
        "nash_mtl": NashMTL(NUM_TASKS),
        "every second upgrad": EveryNthStep(UPGrad(NUM_TASKS), interval=2),
        "gradnorm, narrowed": GradNorm(NUM_TASKS),
        "nash_mtl, narrowed": NashMTL(NUM_TASKS),
    }


def all_rules(ranks: Ranks | None) -> dict[str, list[Tensor]]:
    found = {}
    for member in MEMBERS:
        measures = member.make(NUM_TASKS).needs != Need.LOSSES
        for where in ("parameters", "seam") if measures else ("parameters",):
            found[f"{member.name}, {where}"] = train(member.make(NUM_TASKS), ranks, where=where)
            if member.name in ("equal", "upgrad", "gradnorm"):
                sparse = train(member.make(NUM_TASKS), ranks, where=where, sparse=True)
                found[f"{member.name}, {where}, sparse"] = sparse
    found["upgrad, table, sparse"] = train(UPGrad(NUM_TASKS), ranks, where="table", sparse=True)
    for name, balancer in for_shards().items():
        found[f"{name}, sharded"] = train_sharded(balancer, ranks, narrowed="narrowed" in name)
    return found


def rank(number: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = (folder / "store").as_uri()
    distributed.init_process_group("gloo", init_method=store, rank=number, world_size=2)
    ranks = Ranks()
    together = all_rules(ranks), refusals(ranks)
    distributed.destroy_process_group()
    torch.save((*together, all_rules(None) if number == 0 else {}), folder / str(number))


def balance(folder: Path) -> None:
    """AssertionError where a rank fails."""
    importlib.import_module("torch.distributed.fsdp")  # Seconds, once in the place of twice.
    in_two_processes(lambda number: rank(number, folder))
