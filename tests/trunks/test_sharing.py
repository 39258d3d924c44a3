"""Shared layers by number, and networks tied by their distance."""

import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from polytask.balancing import MGDA, balanced_backward
from polytask.model import MultiTaskModel
from polytask.task import binary, regression
from polytask.trunks import MTAN, CrossStitch, SharedBottom, SingleTask, Sluice, SoftSharing, Trunk


@pytest.fixture
def x_BD() -> Tensor:
    return torch.randn(7, 5, dtype=torch.float64)


def _losses(trunk: Trunk, x_BD: Tensor) -> list[Tensor]:
    return [output.square().sum() for output in trunk(x_BD)]


def _tasks_that_reach(parameter: nn.Parameter, losses: list[Tensor]) -> set[int]:
    return {
        t
        for t, loss in enumerate(losses)
        if torch.autograd.grad(loss, parameter, retain_graph=True, allow_unused=True)[0] is not None
    }


@pytest.mark.parametrize("num_shared", [0, 1, 2, 3])
def test_the_first_layers_are_shared_and_the_rest_are_not(num_shared: int, x_BD: Tensor) -> None:
    trunk = SharedBottom(5, 2, hidden=(6, 4, 3), num_shared_layers=num_shared).double()
    losses = _losses(trunk, x_BD)
    owners = [_tasks_that_reach(parameter, losses) for parameter in trunk.parameters()]
    # A layer is a weight and a bias; those that are not shared exist twice.
    assert owners.count({0, 1}) == 2 * num_shared
    assert owners.count({0}) == owners.count({1}) == 2 * (3 - num_shared)
    assert trunk.share(x_BD)[0].shape[1] == (5, 6, 4, 3)[num_shared]


def test_no_shared_layer_is_a_single_task_network(x_BD: Tensor) -> None:
    torch.manual_seed(3)
    ours = SharedBottom(5, 2, hidden=(6, 4), num_shared_layers=0).double()
    torch.manual_seed(3)
    theirs = SingleTask(5, 2, hidden=(6, 4)).double()
    torch.testing.assert_close(ours(x_BD), theirs(x_BD), rtol=0, atol=0)


def test_all_layers_are_shared_unless_told_otherwise(x_BD: Tensor) -> None:
    trunk = SharedBottom(5, 2, hidden=(6, 4)).double()
    assert {name.split(".")[0] for name, _ in trunk.named_parameters()} == {"bottom"}
    first, second = trunk(x_BD)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    every = SharedBottom(5, 2, hidden=(6, 4), num_shared_layers=2)
    assert every.state_dict().keys() == trunk.state_dict().keys()


@pytest.mark.parametrize("count", [-1, 3])
def test_more_layers_than_there_are_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="num_shared_layers must be between 0 and the 2 layers"):
        SharedBottom(5, 2, hidden=(6, 4), num_shared_layers=count)
    with pytest.raises(ValueError, match="num_tied_layers must be between 0 and the 2 layers"):
        SoftSharing(5, 2, hidden=(6, 4), num_tied_layers=count)


def test_the_distance_equals_the_golden_value_and_gradient(goldens_folder: Path) -> None:
    golden = json.loads((goldens_folder / "architectures.json").read_text())["soft_l2"]
    trunk = SoftSharing(3, 2, hidden=(2,), strength=1.0).double()
    with torch.no_grad():
        for bottom, theta in zip(trunk.bottoms, (golden["theta1"], golden["theta2"])):
            bottom[0].weight.copy_(torch.tensor(theta, dtype=torch.float64))
    penalty = trunk.penalty()
    assert penalty is not None
    assert penalty.item() == pytest.approx(golden["penalty"], abs=1e-12)
    penalty.backward()
    expected = torch.tensor(golden["grad_theta1_for_alpha1"], dtype=torch.float64)
    torch.testing.assert_close(trunk.bottoms[0][0].weight.grad, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(trunk.bottoms[1][0].weight.grad, -expected, rtol=0, atol=1e-12)


def _scattered(**options: object) -> SoftSharing:
    torch.manual_seed(0)
    trunk = SoftSharing(5, 3, hidden=(6, 4), **options).double()
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.add_(torch.randn_like(parameter))
    return trunk


@pytest.mark.parametrize("num_tied", [None, 1])
def test_the_penalty_is_the_sum_over_pairs_and_three_times_the_sum_to_the_mean(
    num_tied: int | None,
) -> None:
    trunk = _scattered(strength=0.3, num_tied_layers=num_tied)
    num_tensors = 4 if num_tied is None else 2
    thetas = [
        torch.cat([p.flatten() for p in list(b.parameters())[:num_tensors]]) for b in trunk.bottoms
    ]
    pairs = sum((one - two).square().sum() for one, two in itertools.combinations(thetas, 2))
    penalty = trunk.penalty()
    assert penalty is not None
    torch.testing.assert_close(penalty, 0.3 * pairs)
    to_mean = _scattered(strength=0.3, num_tied_layers=num_tied, distance="mean").penalty()
    torch.testing.assert_close(3 * to_mean, penalty)


def test_tied_layers_start_as_one_and_the_others_do_not() -> None:
    trunk = SoftSharing(5, 3, hidden=(6, 4), num_tied_layers=1)
    penalty = trunk.penalty()
    assert penalty is not None
    assert penalty.item() < 1e-12
    first, second, _ = trunk.bottoms
    assert first[0].weight is not second[0].weight
    torch.testing.assert_close(first[0].weight, second[0].weight, rtol=0, atol=0)
    assert (first[2].weight - second[2].weight).abs().max() > 0


def test_strength_zero_is_a_single_task_network(x_BD: Tensor) -> None:
    trunk = _scattered(strength=0.0)
    assert trunk.penalty() is None
    single = SingleTask(5, 3, hidden=(6, 4)).double()
    single.load_state_dict(trunk.state_dict())
    torch.testing.assert_close(trunk(x_BD), single(x_BD), rtol=0, atol=0)
    assert SoftSharing(5, 2, num_tied_layers=0).penalty() is None
    assert SoftSharing(5, 1).penalty() is None


def test_a_strong_tie_makes_one_network() -> None:
    """The penalty alone, descended, brings the networks to their mean."""
    trunk = _scattered(strength=1.0, distance="mean")
    mean = torch.stack([bottom[0].weight for bottom in trunk.bottoms]).mean(dim=0).detach()
    optimizer = torch.optim.SGD(trunk.parameters(), lr=0.25)
    for _ in range(60):
        optimizer.zero_grad()
        trunk.penalty().backward()
        optimizer.step()
    for bottom in trunk.bottoms:
        torch.testing.assert_close(bottom[0].weight.detach(), mean)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": float("nan")}, "strength must be at least 0"),
        ({"distance": "sum"}, "'pairs' or 'mean'"),
    ],
)
def test_bad_options_of_soft_sharing_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SoftSharing(5, 2, **options)


VARIANTS = {
    "one shared layer": lambda: SharedBottom(5, 3, hidden=(6, 4), num_shared_layers=1),
    "no shared layer": lambda: SharedBottom(5, 3, hidden=(6, 4), num_shared_layers=0),
    "soft": lambda: SoftSharing(5, 3, hidden=(6, 4)),
    "cross-stitch": lambda: CrossStitch(5, 3, hidden=(6, 5, 4)),
    "cross-stitch per channel": lambda: CrossStitch(5, 3, hidden=(6, 4), per_channel=True),
    "cross-stitch of one layer": lambda: CrossStitch(5, 3, hidden=(4,)),
    "sluice": lambda: Sluice(5, 3, hidden=(6, 6, 6)),
    "sluice of one layer": lambda: Sluice(5, 3, hidden=(6,)),
    "attention": lambda: MTAN(5, 3, hidden=(6, 5, 4), mask_hidden=3),
    "attention to one layer": lambda: MTAN(5, 3, hidden=(4,)),
}


@pytest.mark.parametrize("variant", sorted(VARIANTS))
@pytest.mark.parametrize("given", [None, "a"])
def test_what_a_gradient_rule_applies_through_the_seam_is_exact(
    variant: str, given: str | None, x_BD: Tensor
) -> None:
    """Shared parameters get the weighted sum of the exact gradients, private ones their own."""
    torch.manual_seed(2)
    tasks = [binary("a"), binary("b", given=given), regression("c")]
    model = MultiTaskModel(nn.Linear(5, 5), VARIANTS[variant](), tasks).double()
    result = model(x_BD)
    losses = [(t + 1) * (output - t).square().mean() for t, output in enumerate(result.outputs)]
    parameters = list(model.parameters())
    exact = [
        torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        for loss in losses
    ]
    penalty = model.trunk.penalty()
    of_penalty = (None,) * len(parameters)
    if penalty is not None:
        of_penalty = torch.autograd.grad(penalty, parameters, retain_graph=True, allow_unused=True)
    step = balanced_backward(losses, MGDA(3), seam=result.seam, penalty=penalty)
    assert not torch.allclose(step.weights.shared_T, torch.ones(3).double())
    for p, parameter in enumerate(parameters):
        gradients = {t: exact[t][p] for t in range(3) if exact[t][p] is not None}
        weights = step.weights.shared_T if len(gradients) > 1 else step.weights.private_T
        expected = sum(weights[t] * gradient for t, gradient in gradients.items())
        if of_penalty[p] is not None:
            expected = expected + of_penalty[p]
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_half_precision_is_near(variant: str) -> None:
    torch.manual_seed(0)
    trunk = VARIANTS[variant]()
    x_BD = torch.randn(16, 5)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = trunk(x_BD)
    for ours, exact in zip(rounded, trunk(x_BD)):
        torch.testing.assert_close(ours.float(), exact, rtol=0, atol=0.05)
    assert all(output.dtype == torch.bfloat16 for output in trunk.bfloat16()(x_BD.bfloat16()))


def test_the_default_strength_is_of_the_size_of_a_loss_for_independent_networks() -> None:
    trunk = SoftSharing(50, 2)
    with torch.no_grad():
        for other, new in zip(trunk.bottoms[1].parameters(), SingleTask(50, 1).parameters()):
            other.copy_(new)
    penalty = trunk.penalty()
    assert penalty is not None
    assert math.isclose(penalty.item(), 0.77, rel_tol=0.1)
