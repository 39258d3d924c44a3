"""Each rule keeps the laws that it claims, whatever the rank and the stationarity of the gradients.

As in Quinton and Rey's TorchJD: a Jacobian is strongly stationary if a convex combination of its rows
with weights above zero vanishes, weakly if only one with some zero weights does, and not stationary
if there is a direction that is good for all rows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import pytest
import torch
from torch import Tensor

from polytask.balancing import (
    BALANCERS,
    MGDA,
    RLW,
    STCH,
    Balancer,
    CAGrad,
    Combined,
    ConFIG,
    CoordinateRule,
    EveryNthStep,
    FairGrad,
    GradDrop,
    Law,
    Measurement,
    NashMTL,
    NormClipped,
    ParetoEfficient,
    PCGrad,
    ScaleInvariant,
    Smoothed,
    UPGrad,
)

Make = Callable[[int], Balancer]
Kind = Literal["normal", "strongly stationary", "weakly stationary", "non-stationary"]
Precision = Literal["float64", "float32"]


@dataclass(frozen=True, slots=True)
class Case:
    """`float32` gradients are rounded to it, as real ones are; their Gram matrix is a float64 one."""

    kind: Kind
    num_tasks: int
    num_parameters: int
    rank: int
    precision: Precision

    def __str__(self) -> str:
        shape = f"{self.num_tasks}x{self.num_parameters} of rank {self.rank}"
        return f"{self.kind} {shape} {self.precision}"

    @property
    def is_independent(self) -> bool:
        return self.rank == self.num_tasks

    @property
    def is_nowhere_stationary(self) -> bool:
        return self.kind == "non-stationary" or (self.kind == "normal" and self.is_independent)

    def jacobian(self, seed: int) -> Tensor:
        """(T, P) in float64, lengths over a factor of ten."""
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        left_TR, right_RP = draw(self.num_tasks, self.rank), draw(self.rank, self.num_parameters)
        shares_T = draw(self.num_tasks).abs() + 0.1
        if self.kind == "non-stationary":
            left_TR[:, 0] = shares_T
        elif self.kind != "normal":
            if self.kind == "weakly stationary":
                order_T = torch.randperm(self.num_tasks, generator=generator)
                shares_T[order_T[: max(1, self.num_tasks // 4)]] = 0.0
            left_TR -= shares_T[:, None] * (shares_T @ left_TR) / (shares_T @ shares_T)
        exponents_T = torch.rand(self.num_tasks, generator=generator, dtype=torch.float64)
        jacobian_TP = 10.0 ** -exponents_T[:, None] * (left_TR @ right_RP)
        return jacobian_TP if self.precision == "float64" else jacobian_TP.float().double()


_SHAPES = ((2, 9, 2), (5, 60, 5), (5, 60, 4), (9, 30, 2), (20, 60, 19), (20, 8, 8))
_KINDS: tuple[Kind, ...] = ("normal", "strongly stationary", "weakly stationary", "non-stationary")
CASES = [
    Case(kind, *shape, precision)
    for kind in _KINDS
    for shape in _SHAPES
    for precision in ("float64", "float32")
    if kind in ("normal", "non-stationary") or shape[2] < shape[0]
]


WITH_OPTIONS: dict[str, Make] = {
    "mgda l2": lambda t: MGDA(t, normalisation="l2"),
    "mgda loss": lambda t: MGDA(t, normalisation="loss"),
    "mgda loss+": lambda t: MGDA(t, normalisation="loss+"),
    "pareto_efficient exact": lambda t: ParetoEfficient(t, solver="exact"),
    "cagrad c=1": lambda t: CAGrad(t, c=1.0),
    "cagrad c=3": lambda t: CAGrad(t, c=3.0),
    "fair_grad alpha=0": lambda t: FairGrad(t, alpha=0.0),
    "fair_grad alpha=2": lambda t: FairGrad(t, alpha=2.0),
    "stch with a nadir": lambda t: STCH(t, nadir=[1.0] * t),
    "graddrop with a leak": lambda t: GradDrop(t, leak=0.3),
}
MAKERS: dict[str, Make] = {**BALANCERS, **WITH_OPTIONS}


def measure(jacobian_TP: Tensor, losses_T: Tensor, *, step: int = 0) -> Measurement:
    active_T = torch.ones(len(jacobian_TP), dtype=torch.bool)
    return Measurement(losses_T, active_T, jacobian_TP @ jacobian_TP.T, step=step, epoch=step)


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What a rule is given, and how much of each loss a step leaves."""

    jacobian_TP: Tensor
    losses_T: Tensor
    paces_T: Tensor

    @property
    def lengths_T(self) -> Tensor:
        return self.jacobian_TP.norm(dim=1)

    def in_order(self, order_T: Tensor) -> "Problem":
        return Problem(self.jacobian_TP[order_T], self.losses_T[order_T], self.paces_T[order_T])

    def scaled(self, factors_T: Tensor) -> "Problem":
        """With a factor on each loss."""
        scaled_TP = factors_T[:, None] * self.jacobian_TP
        return Problem(scaled_TP, factors_T * self.losses_T, self.paces_T)


def problems(case: Case) -> Iterator[Problem]:
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        draws_2T = torch.rand(2, case.num_tasks, generator=generator, dtype=torch.float64)
        yield Problem(case.jacobian(seed), draws_2T[0] + 0.1, 0.8 + 0.1 * draws_2T[1])


def direction(make: Make, problem: Problem, *, num_steps: int = 1) -> Tensor:
    """The update of the last of some steps, at which the losses fall, each at its own pace."""
    balancer = make(len(problem.losses_T))
    tasks_T = torch.arange(len(problem.losses_T))
    update_P = torch.zeros(0)
    for step in range(num_steps):
        measured = measure(problem.jacobian_TP, problem.losses_T * 0.9**step, step=step)
        weights_T = balancer(measured).shared_T
        if isinstance(balancer, CoordinateRule):
            update_P = balancer.combine(problem.jacobian_TP, tasks_T, measured)
        else:
            update_P = weights_T @ problem.jacobian_TP
        balancer.after_step(list(measured.losses_T * problem.paces_T))
    return update_P


def breach_of_order(make: Make, case: Case) -> float:
    """How far the update moves when the tasks come in another order, relative to the gradients."""
    worst = 0.0
    for seed, problem in enumerate(problems(case)):
        generator = torch.Generator().manual_seed(seed)
        order_T = torch.randperm(case.num_tasks, generator=generator).roll(1)
        update_P = direction(make, problem, num_steps=3)
        other_P = direction(make, problem.in_order(order_T), num_steps=3)
        size = max(float(problem.lengths_T.mean()), float(update_P.norm()))
        worst = max(worst, float((update_P - other_P).norm()) / size)
    return worst


def breach_of_agreement(make: Make, case: Case) -> float:
    """The largest -g_i.d / |g_i|, relative to the lengths of the gradients and of the update."""
    worst = 0.0
    for problem in problems(case):
        measured = measure(problem.jacobian_TP, problem.losses_T)
        weights_T = make(case.num_tasks)(measured).shared_T
        update_P = direction(make, problem)
        gains_T = problem.jacobian_TP @ update_P / problem.lengths_T
        # Where weights grow without bound and cancel, d is known to their rounding.
        rounding = 1e-5 * float(weights_T.abs() @ problem.lengths_T)
        size = float(problem.lengths_T.mean() + update_P.norm()) + rounding
        worst = max(worst, float(-gains_T.min()) / size)
    return worst


def breach_of_descent(make: Make, case: Case) -> float:
    """1 if the loss of a task does not fall, where all of them could."""
    if not case.is_nowhere_stationary:
        return 0.0
    gains = [float((p.jacobian_TP @ direction(make, p)).min()) for p in problems(case)]
    return 0.0 if min(gains) > 0.0 else 1.0


def breach_of_invariance(make: Make, case: Case) -> float:
    """1 - cosine between the updates with and without factors on the losses."""
    if not case.is_nowhere_stationary:
        return 0.0
    worst = 0.0
    for problem in problems(case):
        plain_P = direction(make, problem, num_steps=3)
        scaled_P = direction(make, problem.scaled(factors_of(case.num_tasks)), num_steps=3)
        cosine = float(plain_P @ scaled_P / (plain_P.norm() * scaled_P.norm()))
        worst = max(worst, 1.0 - cosine)
    return worst


def breach_of_linearity(make: Make, case: Case) -> float:
    """|d(b + c) - d(b) - d(c)| for factors b and c on the losses, relative to the updates."""
    worst = 0.0
    for problem in problems(case):
        factors_T = factors_of(case.num_tasks)
        both, first, second = (
            direction(make, problem.scaled(c_T), num_steps=3)
            for c_T in (1.0 + factors_T, torch.ones_like(factors_T), factors_T)
        )
        size = float(problem.lengths_T.mean() + both.norm())
        worst = max(worst, float((both - first - second).norm()) / size)
    return worst


def factors_of(num_tasks: int) -> Tensor:
    return 10.0 ** torch.linspace(-1.0, 1.0, num_tasks, dtype=torch.float64).roll(1)


BREACHES: dict[Law, tuple[Callable[[Make, Case], float], float]] = {
    Law.ANY_ORDER: (breach_of_order, 2e-4),
    Law.NON_CONFLICTING: (breach_of_agreement, 1e-5),
    Law.DESCENDS_FOR_ALL: (breach_of_descent, 0.0),
    Law.SCALE_INVARIANT: (breach_of_invariance, 1e-6),
    Law.LINEAR_UNDER_SCALING: (breach_of_linearity, 1e-6),
}


# A sum of projections that changes its sign: see `test_a_factor_can_turn_config_round`.
WITHOUT_COUNTEREXAMPLE_HERE = {"config": {Law.SCALE_INVARIANT}}


@pytest.mark.parametrize("name", MAKERS)
def test_a_rule_keeps_the_laws_that_it_claims(name: str) -> None:
    make = MAKERS[name]
    for law in make(2).laws:
        breach, tolerance = BREACHES[law]
        for case in CASES:
            assert breach(make, case) <= tolerance, f"{law} on {case}"


@pytest.mark.parametrize("name", MAKERS)
def test_a_rule_claims_all_the_laws_that_it_keeps(name: str) -> None:
    """What is not claimed has a counterexample, so that the table can be read both ways."""
    make = MAKERS[name]
    for law in set(Law) - make(2).laws - WITHOUT_COUNTEREXAMPLE_HERE.get(name, set()):
        breach, tolerance = BREACHES[law]
        assert any(breach(make, case) > 20 * tolerance for case in CASES), law


def test_a_factor_can_turn_config_round() -> None:
    """Five like gradients and one that they drag along: the sum of all projections changes sign."""
    angles_T = torch.tensor([0.0] * 5 + [80.0] * 5 + [-80.0]).double().deg2rad()
    jacobian_TP = torch.stack([angles_T.cos(), angles_T.sin()], dim=1)
    plain_P = direction(ConFIG, Problem(jacobian_TP, torch.ones(11).double(), torch.ones(11)))
    jacobian_TP[10] *= 100.0
    turned_P = direction(ConFIG, Problem(jacobian_TP, torch.ones(11).double(), torch.ones(11)))
    cosine = torch.nn.functional.cosine_similarity(plain_P, turned_P, dim=0)
    assert cosine.item() == pytest.approx(-1.0)


def test_laws_of_wrapped_rules_are_those_that_survive() -> None:
    everything = {Law.ANY_ORDER, Law.NON_CONFLICTING, Law.DESCENDS_FOR_ALL}
    assert Combined(ScaleInvariant(3), UPGrad(3)).laws == everything
    assert Combined(RLW(3), PCGrad(3)).laws == set()
    assert NormClipped(UPGrad(3)).laws == everything
    assert EveryNthStep(UPGrad(3), interval=2).laws == {Law.ANY_ORDER, Law.LINEAR_UNDER_SCALING}
    assert Smoothed(NashMTL(3)).laws == {Law.ANY_ORDER}


def test_the_table_in_the_docs_is_made_from_the_declarations(
    request: pytest.FixtureRequest,
) -> None:
    lines = (request.config.rootpath / "docs" / "methods.md").read_text().splitlines()
    assert [line for line in lines_of_table() if line not in lines] == []


def lines_of_table() -> Iterator[str]:
    """The table of docs/methods.md, section "What each rule promises"."""
    yield "| rule | " + " | ".join(law.value for law in Law) + " |"
    for name, make in MAKERS.items():
        laws = make(3).laws
        marks = " | ".join("yes" if law in laws else "-" for law in Law)
        yield f"| `{name}` | {marks} |"
