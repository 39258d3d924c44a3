"""The table of all rules, and a hand-made mixture of experts in which sharing is hard to read off."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.balancing import (
    BALANCERS,
    DWA,
    FAMO,
    MGDA,
    RLW,
    STCH,
    WRAPPERS,
    Balancer,
    CAGrad,
    Combined,
    Decayed,
    EveryNthStep,
    GradNorm,
    GradVac,
    NashMTL,
    NormClipped,
    ParetoEfficient,
    PCGrad,
    Smoothed,
    Uncertainty,
    UPGrad,
)


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """The tensors here are tiny: threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a test, or an example in a docstring, registers is gone after it."""
    kept = dict(BALANCERS), dict(WRAPPERS)
    yield
    for registry, before in zip((BALANCERS, WRAPPERS), kept):
        registry.clear()
        registry.update(before)


@dataclass(frozen=True, slots=True)
class Outputs:
    losses: list[Tensor | None]
    seam: tuple[Tensor, ...]


class Mixture(nn.Module):
    """Embedding and a numeric encoding -> x; two experts; a gate a task, reading x; a head a task.

    Task 1 is the consequence of task 0: its loss reads task 0's logit too, above the seam.
    Task 2 is a regression. The seam is x and the experts' outputs.
    """

    def __init__(self, *, sparse: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 3, sparse=sparse)
        self.numeric = nn.Linear(2, 3)
        self.experts = nn.ModuleList(nn.Linear(6, 4) for _ in range(2))
        self.gates = nn.ModuleList(nn.Linear(6, 2, bias=False) for _ in range(3))
        self.heads = nn.ModuleList(nn.Linear(4, 1) for _ in range(3))

    def forward(self, ids_B: Tensor, numbers_BN: Tensor) -> Outputs:
        x_BD = torch.cat([self.table(ids_B), self.numeric(numbers_BN).tanh()], dim=1)
        experts = [expert(x_BD).relu() for expert in self.experts]
        seam = tuple(tensor.view_as(tensor) for tensor in (x_BD, *experts))
        x_BD, experts_BEH = seam[0], torch.stack(seam[1:], dim=1)
        logits = [
            head((gate(x_BD).softmax(1).unsqueeze(2) * experts_BEH).sum(1)).squeeze(1)
            for gate, head in zip(self.gates, self.heads)
        ]
        labels_B = (numbers_BN[:, 0] > 0).to(x_BD.dtype)
        joint_B = functional.logsigmoid(logits[0]) + functional.logsigmoid(logits[1])
        losses: list[Tensor | None] = [
            functional.binary_cross_entropy_with_logits(logits[0], labels_B),
            -(labels_B * joint_B).mean(),
            (logits[2] - 3 * numbers_BN[:, 1]).square().mean(),
        ]
        return Outputs(losses, seam)

    def penalty(self) -> Tensor:
        return 0.1 * self.experts[0].weight.square().sum() + self.gates[1].weight.square().sum()


class MakeMixture(Protocol):
    def __call__(
        self, *, sparse: bool = False, dtype: torch.dtype = torch.float64
    ) -> tuple[Mixture, Outputs]: ...


@pytest.fixture
def make_mixture() -> MakeMixture:
    def make(
        *, sparse: bool = False, dtype: torch.dtype = torch.float64
    ) -> tuple[Mixture, Outputs]:
        generator = torch.Generator().manual_seed(1)
        torch.manual_seed(0)
        model = Mixture(sparse=sparse).to(dtype)
        ids_B = torch.randint(11, (16,), generator=generator)
        numbers_BN = torch.randn(16, 2, generator=generator).to(dtype)
        return model, model(ids_B, numbers_BN)

    return make


@pytest.fixture
def task_gradients(make_mixture: MakeMixture) -> Callable[[int | None], dict[str, Tensor]]:
    """The exact gradient of one loss (None: of the penalty), by parameter name."""

    def take(task: int | None) -> dict[str, Tensor]:
        model, outputs = make_mixture()
        loss = model.penalty() if task is None else outputs.losses[task]
        assert loss is not None
        loss.backward()
        return {
            name: torch.zeros_like(p) if p.grad is None else p.grad
            for name, p in model.named_parameters()
        }

    return take


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of the table of all rules, for the laws that hold for each."""

    name: str
    make: Callable[[int], Balancer]
    is_random: bool = False  # draws something a step: permuting tasks does not permute the draw
    orders: bool = False  # visits tasks in a drawn order: no choice with two tasks
    has_main: bool = False  # task 0 is unlike the others


_RANDOM = {"rlw"}
_ORDERED = {"pcgrad", "gradvac"}
MEMBERS = [
    *(
        Member(name, rule, name in _RANDOM, name in _ORDERED, name == "cosine_gate")
        for name, rule in BALANCERS.items()
    ),
    Member("decayed by step", lambda t: Decayed(t, decay=0.5, unit="step")),
    Member("rlw dirichlet", lambda t: RLW(t, distribution="dirichlet"), is_random=True),
    Member("uncertainty non-negative", lambda t: Uncertainty(t, non_negative=True)),
    Member("dwa, short windows", lambda t: DWA(t, window=2)),
    Member("stch, learned nadir", lambda t: STCH(t, warmup_steps=2)),
    Member("mgda loss+", lambda t: MGDA(t, normalisation="loss+")),
    Member("pareto exact", lambda t: ParetoEfficient(t, solver="exact")),
    Member("smoothed clipped nash", lambda t: Smoothed(NormClipped(NashMTL(t), max_norm=0.5))),
    Member("every third upgrad", lambda t: EveryNthStep(UPGrad(t), interval=3)),
    Member("every second gradvac", lambda t: EveryNthStep(GradVac(t), interval=2), orders=True),
    Member("uncertainty and cagrad", lambda t: Combined(Uncertainty(t), CAGrad(t))),
    Member("famo and pcgrad", lambda t: Combined(FAMO(t), PCGrad(t)), orders=True),
    Member("gradnorm where others measure", lambda t: GradNorm(t, at_last_layer=False)),
    Member("smoothed gradnorm", lambda t: Smoothed(GradNorm(t))),
    Member("clipped dwa", lambda t: NormClipped(DWA(t, window=2), max_norm=0.1)),
]


@pytest.fixture(params=MEMBERS, ids=lambda member: member.name)
def member(request: pytest.FixtureRequest) -> Member:
    found = request.param
    assert isinstance(found, Member)
    return found
