"""One table of the rules on the Gram matrix, one set of laws that all of them keep."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from polytask.balancing import gram
from polytask.balancing.gram.equalising import SingularScale
from polytask.balancing.gram.minimum_norm import Normalisation

NUMS_TASKS = (2, 3, 5, 10, 20, 40)
NUM_PARAMETERS = 60


@dataclass(frozen=True)
class Problem:
    """Gradients, and everything that some rule wants to know besides."""

    jacobian_TP: Tensor
    order_TT: Tensor
    losses_T: Tensor
    shares_T: Tensor
    target_TT: Tensor

    @property
    def gram_TT(self) -> Tensor:
        return self.jacobian_TP @ self.jacobian_TP.T

    def scaled(self, factor: float) -> "Problem":
        return replace(self, jacobian_TP=factor * self.jacobian_TP)

    def permuted(self, permutation_T: Tensor) -> "Problem":
        """The same problem with task permutation[i] in place i."""
        place_T = permutation_T.argsort()
        return Problem(
            jacobian_TP=self.jacobian_TP[permutation_T],
            order_TT=place_T[self.order_TT[permutation_T]],
            losses_T=self.losses_T[permutation_T],
            shares_T=self.shares_T[permutation_T],
            target_TT=self.target_TT[permutation_T][:, permutation_T],
        )


def problem_of(jacobian_TP: Tensor, seed: int = 0) -> Problem:
    generator = torch.Generator().manual_seed(seed)
    num_tasks = len(jacobian_TP)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    return Problem(
        jacobian_TP=jacobian_TP,
        order_TT=uniform(num_tasks, num_tasks).argsort(dim=1),
        losses_T=0.1 + uniform(num_tasks),
        shares_T=0.9 * uniform(num_tasks) / num_tasks,
        target_TT=uniform(num_tasks, num_tasks) - 0.5,
    )


def random_problem(num_tasks: int, *, spread: float, seed: int) -> Problem:
    """Gaussian directions with a common part; lengths log-uniform over a factor of `spread`."""
    generator = torch.Generator().manual_seed(1000 * num_tasks + seed)
    rows_TP = torch.randn(num_tasks, NUM_PARAMETERS, generator=generator, dtype=torch.float64)
    rows_TP += 0.3 * rows_TP[0]
    exponents_T = torch.rand(num_tasks, generator=generator, dtype=torch.float64)
    lengths_T = spread ** (exponents_T - 0.5)
    unit_rows_TP = rows_TP / rows_TP.norm(dim=1, keepdim=True)
    return problem_of(lengths_T[:, None] * unit_rows_TP, seed)


@dataclass(frozen=True)
class Member:
    """A rule, and the power of the gradients' scale that its direction has."""

    name: str
    rule: Callable[[Tensor, Problem], Tensor]
    degree: float = 1.0

    def weights(self, problem: Problem) -> Tensor:
        return self.rule(problem.gram_TT, problem)

    def direction(self, problem: Problem) -> Tensor:
        return self.weights(problem) @ problem.jacobian_TP


def mgda_member(normalisation: Normalisation, degree: float) -> Member:
    return Member(
        f"mgda-{normalisation}",
        lambda g, p: gram.mgda(g, normalisation=normalisation, losses_T=p.losses_T),
        degree,
    )


MEMBERS = (
    mgda_member("none", 1.0),
    mgda_member("l2", 0.0),
    mgda_member("loss", 1.0),
    mgda_member("loss+", 0.0),
    Member("pe-two_step", lambda g, p: gram.pareto_efficient(g, lower_bounds=p.shares_T)),
    Member(
        "pe-exact",
        lambda g, p: gram.pareto_efficient(g, lower_bounds=p.shares_T, solver="exact"),
    ),
    Member("pcgrad-sum", lambda g, p: gram.pcgrad(g, order=p.order_TT)),
    Member("pcgrad-mean", lambda g, p: gram.pcgrad(g, order=p.order_TT, reduction="mean")),
    Member(
        "gradvac",
        lambda g, p: gram.gradvac(g, target_TT=p.target_TT, order=p.order_TT).weights_T,
    ),
    *(
        Member(
            f"cagrad-{c}-{rescale}",
            lambda g, p, c=c, rescale=rescale: gram.cagrad(g, c=c, rescale=rescale),
        )
        for c, rescale in ((0.0, 0), (0.4, 0), (0.9, 1), (3.0, 2))
    ),
    Member("cagrad-sum", lambda g, p: gram.cagrad(g, reduction="sum")),
    Member("imtl_g", lambda g, p: gram.imtl_g(g)),
    Member("nash_mtl", lambda g, p: gram.nash_mtl(g), 0.0),
    *(
        Member(
            f"fair_grad-{alpha}",
            lambda g, p, alpha=alpha: gram.fair_grad(g, alpha=alpha),
            (1.0 - alpha) / (1.0 + alpha),
        )
        for alpha in (0.0, 0.5, 1.0, 2.0)
    ),
    *(
        Member(
            f"aligned_mtl-{scale}",
            lambda g, p, scale=scale: gram.aligned_mtl(g, scale=scale, preference=p.shares_T),
        )
        for scale in get_args(SingularScale)
    ),
    Member("upgrad", lambda g, p: gram.upgrad(g, preference=p.shares_T)),
    Member("dual_proj", lambda g, p: gram.dual_proj(g, preference=p.shares_T)),
    Member("config", lambda g, p: gram.config(g)),
)

every_member = pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).norm() / expected.norm().clamp_min(1e-300))


@every_member
@pytest.mark.parametrize("spread", [1.0, 1e4])
def test_scaling_by_a_power_of_two_is_exact(member: Member, spread: float) -> None:
    for num_tasks, exponent in product(NUMS_TASKS, (-27, -13, 1, 27)):
        problem = random_problem(num_tasks, spread=spread, seed=0)
        factor = 2.0**exponent
        scaled_P = member.direction(problem.scaled(factor)) / factor**member.degree
        assert relative_difference(scaled_P, member.direction(problem)) < 1e-12


@every_member
@pytest.mark.parametrize("spread", [1.0, 1e4])
def test_scaling_by_a_power_of_ten(member: Member, spread: float) -> None:
    """No loss up to a condition of 1e8; beyond it the length |d| stands for the objective."""
    for num_tasks, exponent in product(NUMS_TASKS, (-8, -3, 1, 8)):
        problem = random_problem(num_tasks, spread=spread, seed=1)
        factor = 10.0**exponent
        scaled_P = member.direction(problem.scaled(factor)) / factor**member.degree
        direction_P = member.direction(problem)
        if float(torch.linalg.cond(problem.gram_TT)) <= 1e8:
            assert relative_difference(scaled_P, direction_P) < 1e-6
        assert abs(float(scaled_P.norm() / direction_P.norm()) - 1.0) < 1e-6


@every_member
@pytest.mark.parametrize("spread", [1.0, 1e4])
def test_tasks_may_come_in_any_order(member: Member, spread: float) -> None:
    for num_tasks in NUMS_TASKS:
        problem = random_problem(num_tasks, spread=spread, seed=2)
        permutation_T = torch.randperm(num_tasks, generator=torch.Generator().manual_seed(3))
        weights_T = member.weights(problem)
        permuted_T = member.weights(problem.permuted(permutation_T))
        assert relative_difference(permuted_T, weights_T[permutation_T]) < 1e-9


@every_member
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.float32, 5e-2)])
def test_tasks_may_come_in_any_order_where_gradients_are_dependent(
    member: Member, dtype: torch.dtype, tolerance: float
) -> None:
    """Of rank 19 for 20 tasks, some of which cancel each other: many weights serve, one update does."""
    generator = torch.Generator().manual_seed(8)
    for _ in range(3):
        left_TR, right_RP = _gaussian(20, 19, generator), _gaussian(19, 60, generator)
        shares_T = _gaussian(20, 1, generator).abs()[:, 0] * (torch.arange(20) % 4 > 0)
        left_TR -= shares_T[:, None] * (shares_T @ left_TR) / (shares_T @ shares_T)
        problem = problem_of(left_TR @ right_RP)
        order_T = torch.randperm(20, generator=generator)
        updates = [
            member.rule(p.gram_TT.to(dtype), p).double() @ p.jacobian_TP
            for p in (problem, problem.permuted(order_T))
        ]
        size = max(float(problem.jacobian_TP.norm(dim=1).mean()), float(updates[0].norm()))
        assert float((updates[0] - updates[1]).norm()) < tolerance * size


def _gaussian(num_rows: int, num_columns: int, generator: torch.Generator) -> Tensor:
    return torch.randn(num_rows, num_columns, generator=generator, dtype=torch.float64)


def gaussian(num_tasks: int, num_parameters: int) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(num_tasks, num_parameters, generator=generator, dtype=torch.float64)


def with_zero_rows(jacobian_TP: Tensor, *rows: int) -> Tensor:
    jacobian_TP = jacobian_TP.clone()
    jacobian_TP[list(rows)] = 0.0
    return jacobian_TP


AWKWARD = {
    "one task": gaussian(1, 5),
    "one task at its optimum": torch.zeros(1, 5, dtype=torch.float64),
    "one parameter": gaussian(6, 1),
    "fewer parameters than tasks": gaussian(20, 4),
    "just as many": gaussian(20, 20),
    "64 tasks": gaussian(64, 200),
    "64 tasks, 8 parameters": gaussian(64, 8),
    "all zero": torch.zeros(5, 3, dtype=torch.float64),
    "one zero row": with_zero_rows(gaussian(5, 30), 2),
    "all but one zero": with_zero_rows(gaussian(5, 30), 0, 1, 3, 4),
    "zero rows, few parameters": with_zero_rows(gaussian(12, 3), 0, 5),
    "two equal": torch.cat([gaussian(4, 30), gaussian(4, 30)[:1]]),
    "all equal": gaussian(1, 30).expand(7, 30),
    "all equal, of many lengths": torch.logspace(-9, 9, 7, dtype=torch.float64)[:, None]
    * gaussian(1, 30),
    "two opposite": torch.cat([gaussian(1, 30), -3.0 * gaussian(1, 30)]),
    "opposite among others": torch.cat([gaussian(4, 30), -gaussian(4, 30)[1:2]]),
    "nearly equal": gaussian(1, 30) + 1e-9 * gaussian(6, 30),
    "nearly opposite": torch.cat([gaussian(1, 30), -gaussian(1, 30)]) + 1e-9 * gaussian(2, 30),
    "lengths over 1e-150..1e150": torch.logspace(-150, 150, 9, dtype=torch.float64)[:, None]
    * gaussian(9, 30),
    "lengths 1e-20 and 1": torch.tensor([[1e-20], [1.0]], dtype=torch.float64) * gaussian(2, 8),
    "tiny": 1e-150 * gaussian(5, 30),
    "huge": 1e150 * gaussian(5, 30),
    "integers": torch.tensor([[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0], [0.0, 1.0]]).double(),
}

any_jacobian = st.tuples(st.integers(1, 9), st.integers(1, 5)).flatmap(
    lambda shape: st.tuples(
        st.lists(st.integers(-2, 2), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]),
        st.lists(st.integers(-9, 9), min_size=shape[0], max_size=shape[0]),
    ).map(
        lambda drawn: (
            torch.tensor(drawn[0], dtype=torch.float64).view(shape)
            * 10.0 ** torch.tensor(drawn[1], dtype=torch.float64)[:, None]
        )
    )
)


@every_member
def test_weights_are_finite_whatever_the_gradients(member: Member) -> None:
    for name, jacobian_TP in AWKWARD.items():
        weights_T = member.weights(problem_of(jacobian_TP))
        assert weights_T.shape == (len(jacobian_TP),), name
        assert weights_T.isfinite().all(), name


@given(any_jacobian)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_weights_are_finite_where_much_coincides(jacobian_TP: Tensor) -> None:
    """Small whole numbers repeat, oppose and cancel each other all the time."""
    problem = problem_of(jacobian_TP)
    for member in MEMBERS:
        assert member.weights(problem).isfinite().all(), member.name


@every_member
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_have_the_dtype_of_the_gram_matrix(member: Member, dtype: torch.dtype) -> None:
    for num_parameters in (30, 3):
        problem = problem_of(gaussian(8, num_parameters))
        gram_TT = problem.gram_TT.to(dtype).requires_grad_()
        before_TT = gram_TT.detach().clone()
        weights_T = member.rule(gram_TT, problem)
        assert weights_T.dtype == dtype
        assert weights_T.isfinite().all()
        assert not weights_T.requires_grad
        assert torch.equal(gram_TT.detach(), before_TT)


@every_member
def test_float32_agrees_with_float64(member: Member) -> None:
    for num_tasks in (2, 5, 10):
        problem = random_problem(num_tasks, spread=10.0, seed=4)
        single_T = member.rule(problem.gram_TT.float(), problem).double()
        assert relative_difference(single_T, member.weights(problem)) < 1e-4


@every_member
def test_gradients_that_are_not_finite_are_handed_on(member: Member) -> None:
    problem = random_problem(4, spread=10.0, seed=5)
    for poison in (float("nan"), float("inf")):
        gram_TT = problem.gram_TT
        gram_TT[1, 2] = poison
        assert member.rule(gram_TT, problem).isnan().all()


@every_member
def test_the_same_call_gives_the_same_bits(member: Member) -> None:
    problem = random_problem(10, spread=1e2, seed=6)
    assert torch.equal(member.weights(problem), member.weights(problem))


@every_member
def test_what_is_no_gram_matrix_is_refused(member: Member) -> None:
    problem = random_problem(2, spread=1.0, seed=0)
    for shape in ((2, 3), (4,), (0, 0), (2, 2, 2)):
        with pytest.raises(ValueError, match="gram_TT must be"):
            member.rule(torch.ones(shape), problem)
    with pytest.raises(ValueError, match="floating-point"):
        member.rule(torch.eye(2, dtype=torch.int64), problem)


def test_the_table_holds_every_rule() -> None:
    rules = set(gram.__all__) - {"Vaccinated"}
    named = {member.name.split("-")[0] for member in MEMBERS}
    assert {rule.replace("pareto_efficient", "pe") for rule in rules} == named
