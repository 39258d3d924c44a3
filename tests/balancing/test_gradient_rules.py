"""What the classes add to the functions of `gram`: state, seeds, options; GradDrop; the gate."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from polytask.balancing import (
    MGDA,
    AlignedMTL,
    Balancer,
    CAGrad,
    CosineGate,
    FairGrad,
    GradDrop,
    GradVac,
    Measurement,
    ParetoEfficient,
    PCGrad,
    Step,
    UPGrad,
    Weights,
)
from polytask.balancing.coordinate import grad_drop

CONFLICTING = [[1.0, 0.2, 0.0], [-0.5, 1.0, 0.3], [-0.4, -0.6, 1.0]]


def weigh(balancer: Balancer, gradients: list[list[float]] | Tensor, step: int = 0) -> Tensor:
    gradients_TP = torch.as_tensor(gradients, dtype=torch.float64)
    num_tasks = len(gradients_TP)
    measured = Measurement(
        torch.arange(1, num_tasks + 1, dtype=torch.float64),
        torch.ones(num_tasks, dtype=torch.bool),
        gradients_TP @ gradients_TP.T,
        step=step,
    )
    return balancer(measured).shared_T


def test_gradvac_remembers_cosines_even_without_conflict() -> None:
    """Two public versions advance the running mean only inside the `if` of a conflict."""
    balancer = GradVac(2, decay=0.25)
    gradients = [[1.0, 0.0], [1.0, 1.0]]
    cosine = 0.5**0.5
    weigh(balancer, gradients)
    assert balancer.target_TT[0, 1].item() == pytest.approx(0.25 * cosine)
    weigh(balancer, gradients, 1)
    assert balancer.target_TT[0, 1].item() == pytest.approx(cosine * (1 - 0.75**2))


def test_gradvac_starts_as_pcgrad() -> None:
    torch.testing.assert_close(
        weigh(GradVac(3, seed=4), CONFLICTING), weigh(PCGrad(3, seed=4), CONFLICTING)
    )


def test_pcgrad_visits_in_an_order_of_the_seed_and_the_step() -> None:
    """In the authors' code the shuffle's result is thrown away, so the order never changes."""
    results = {tuple(weigh(PCGrad(3), CONFLICTING, step).tolist()) for step in range(20)}
    assert len(results) > 2
    assert torch.equal(weigh(PCGrad(3), CONFLICTING, 5), weigh(PCGrad(3), CONFLICTING, 5))
    others = {tuple(weigh(PCGrad(3, seed=1), CONFLICTING, step).tolist()) for step in range(20)}
    assert len(others) > 2


def test_sum_and_mean_differ_by_the_number_of_tasks() -> None:
    """WeiChengTseng's version takes the mean whichever is asked for."""
    for rule in (PCGrad, GradVac):
        total = weigh(rule(3, reduction="sum"), CONFLICTING)
        torch.testing.assert_close(weigh(rule(3, reduction="mean"), CONFLICTING), total / 3)
    mean = weigh(CAGrad(3), CONFLICTING)
    torch.testing.assert_close(weigh(CAGrad(3, reduction="sum"), CONFLICTING), 3 * mean)


def test_graddrop_goldens(goldens_folder: Path) -> None:
    case = json.loads((goldens_folder / "gradvac_graddrop.json").read_text())["graddrop"]
    jacobian_TP = torch.tensor(case["G"], dtype=torch.float64)
    uniform_P = torch.tensor(case["U"], dtype=torch.float64)
    for leak, key in ((0.0, "direction"), (0.25, "direction_leak_0_25")):
        found = grad_drop(jacobian_TP, uniform_P, torch.full((3,), leak))
        assert found.tolist() == pytest.approx(case[key], rel=1e-8)
    assert grad_drop(torch.zeros(3, 3), uniform_P, torch.zeros(3)).tolist() == [0.0] * 3


def test_graddrop_is_right_on_average(goldens_folder: Path) -> None:
    case = json.loads((goldens_folder / "gradvac_graddrop.json").read_text())["graddrop"]
    jacobian_TP = torch.tensor(case["G"], dtype=torch.float64)
    balancer, tasks_T = GradDrop(3), torch.arange(3)
    draws = torch.stack(
        [
            balancer.combine(
                jacobian_TP, tasks_T, Measurement(torch.ones(3), torch.ones(3) > 0, step=s)
            )
            for s in range(1000)
        ]
    )
    expected = torch.tensor(case["expected_direction"], dtype=torch.float64)
    torch.testing.assert_close(draws.mean(0), expected, atol=0.12, rtol=0)
    again = balancer.combine(
        jacobian_TP, tasks_T, Measurement(torch.ones(3), torch.ones(3) > 0, step=7)
    )
    assert torch.equal(again, draws[7])


def test_the_gate_lets_only_agreeing_tasks_through() -> None:
    gradients = [[1.0, 0.0], [1.0, 1.0], [-1.0, 0.1], [0.0, 2.0]]
    assert weigh(CosineGate(4), gradients).tolist() == [1.0, 1.0, 0.0, 0.0]
    weights_T = weigh(CosineGate(4, mode="cosine"), gradients)
    assert weights_T.tolist() == pytest.approx([1.0, 0.5**0.5, 0.0, 0.0])
    assert weigh(CosineGate(4, main=2), gradients).tolist() == [0.0, 0.0, 1.0, 1.0]


def test_without_the_main_task_no_other_counts() -> None:
    gram_TT = torch.eye(3, dtype=torch.float64)
    losses_T = torch.tensor([float("nan"), 1.0, 1.0], dtype=torch.float64)
    weights = CosineGate(3)(Measurement(losses_T, ~losses_T.isnan(), gram_TT))
    assert weights.shared_T.tolist() == [0.0, 0.0, 0.0]
    assert weights.private_T.tolist() == [0.0, 1.0, 1.0]


def test_mgda_in_its_consistent_form_descends_on_every_loss(goldens_folder: Path) -> None:
    """The authors apply weights of normalised gradients to raw ones: an ascent for two tasks."""
    case = json.loads((goldens_folder / "mgda.json").read_text())["normalisation"]
    gradients_TP = torch.tensor(case["G"], dtype=torch.float64)
    measured = Measurement(
        torch.tensor(case["losses"], dtype=torch.float64),
        torch.ones(3, dtype=torch.bool),
        gradients_TP @ gradients_TP.T,
    )
    for normalisation, result in case["results"].items():
        update_P = MGDA(3, normalisation=normalisation)(measured).shared_T @ gradients_TP
        assert update_P.tolist() == pytest.approx(
            result["direction_consistent"], rel=1e-7, abs=1e-9
        )
        assert (gradients_TP @ update_P > 0).all()


WRONG_OPTIONS: list[tuple[Callable[[], Balancer], str]] = [
    (lambda: MGDA(2, normalisation="l1"), "normalisation must be one of"),
    (lambda: ParetoEfficient(2, lower_bounds=[0.6, 0.6]), "sum to at most 1"),
    (lambda: ParetoEfficient(2, lower_bounds=[-0.1, 0.5]), "lower_bounds must be >= 0"),
    (lambda: ParetoEfficient(2, solver="quick"), "solver must be one of"),
    (lambda: PCGrad(2, reduction="max"), "reduction must be one of"),
    (lambda: GradVac(2, decay=2.0), "decay must be in"),
    (lambda: CAGrad(2, c=-1.0), "c must be zero or positive"),
    (lambda: CAGrad(2, rescale=3), "rescale must be one of"),
    (lambda: FairGrad(2, alpha=-1.0), "alpha must be zero or positive"),
    (lambda: AlignedMTL(2, scale="max"), "scale must be one of"),
    (lambda: UPGrad(2, preference=[float("nan"), 1.0]), "preference must be >= 0 and finite"),
    (lambda: UPGrad(2, preference=[1.0]), "preference needs one number a task"),
    (lambda: UPGrad(2, preference=[1.0, -1.0]), "preference must be >= 0"),
    (lambda: GradDrop(2, leak=1.5), "leak must lie"),
    (lambda: CosineGate(2, main=2), "main must be the place of a task"),
]


@pytest.mark.parametrize(("make", "message"), WRONG_OPTIONS, ids=[m for _, m in WRONG_OPTIONS])
def test_options_that_cannot_be_meant_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_options_are_of_the_tasks_they_were_given_for() -> None:
    """Lower bounds, preferences and leaks follow their tasks when another one is absent."""
    gradients_TP = torch.tensor(CONFLICTING, dtype=torch.float64)
    active_T = torch.tensor([True, False, True])
    losses_T = torch.ones(3, dtype=torch.float64).masked_fill(~active_T, torch.nan)
    measured = Measurement(losses_T, active_T, gradients_TP @ gradients_TP.T)
    weights_T = ParetoEfficient(3, lower_bounds=[0.0, 0.0, 0.9])(measured).shared_T
    assert weights_T[2] >= 0.9 - 1e-12
    mine = UPGrad(3, preference=[0.2, 0.5, 0.3])(measured).shared_T
    two = Measurement(
        losses_T[active_T], active_T[active_T], measured.gram_TT[active_T][:, active_T]
    )
    torch.testing.assert_close(mine[active_T], UPGrad(2, preference=[0.2, 0.3])(two).shared_T)
    leaky = GradDrop(3, leak=[0.0, 0.5, 1.0])
    update_P = leaky.combine(gradients_TP[active_T], active_T.nonzero().squeeze(1), measured)
    kept_P = grad_drop(
        gradients_TP[active_T],
        torch.empty(3).uniform_(generator=_generator(leaky, measured)),
        torch.tensor([0.0, 1.0]),
    )
    torch.testing.assert_close(update_P, kept_P)


def _generator(balancer: GradDrop, measured: Measurement) -> torch.Generator:
    from polytask.balancing.randomness import generator_at

    return generator_at(balancer.seed, measured.step)


def test_the_record_derives_what_was_measured() -> None:
    gradients_TP = torch.tensor([[3.0, 0.0], [0.0, 4.0], [-1.0, 0.0], [9.0, 9.0]]).double()
    gram_TT = gradients_TP @ gradients_TP.T
    gram_TT[3] = gram_TT[:, 3] = 0
    active_T = torch.tensor([True, True, True, False])
    weights = Weights(torch.ones(4), torch.ones(4))
    step = Step(torch.ones(4), weights, active_T, gram_TT)
    assert step.norms_T[:3].tolist() == [3.0, 4.0, 1.0]
    assert step.norms_T[3].isnan()
    assert step.cosines_TT[0, 2].item() == -1.0
    assert step.conflict_rate == pytest.approx(1 / 3)
    nothing = Step(torch.ones(4), weights, active_T)
    assert nothing.norms_T is nothing.cosines_TT is nothing.conflict_rate is None
