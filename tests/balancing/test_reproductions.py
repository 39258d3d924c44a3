"""What the papers' toy problems show, in the quick forms of `reproductions/`."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from polytask.balancing import Equal, NashMTL, balanced_backward

FOLDER = Path(__file__).resolve().parents[2] / "reproductions"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_the_toy_problem_is_the_published_one(goldens_folder: Path) -> None:
    toy = load("toy_front")
    for point in json.loads((goldens_folder / "toy_problem.json").read_text())["points"]:
        x = torch.tensor(point["x"], dtype=torch.float64, requires_grad=True)
        losses = toy.toy_losses(x)
        assert [loss.item() for loss in losses] == pytest.approx(point["f"], rel=1e-8)
        for loss, row in zip(losses, point["G"]):
            gradient = torch.autograd.grad(loss, x, retain_graph=True)[0]
            assert gradient.tolist() == pytest.approx(row, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("rule", [Equal, NashMTL])
def test_the_batched_gradient_of_the_toy_is_that_of_balanced_backward(rule) -> None:
    toy = load("toy_front")
    starts = torch.tensor(toy.NASH.starts, dtype=torch.float64)
    x_2N = starts.T.clone().requires_grad_()
    found = toy.balanced_gradient([rule(2) for _ in starts], x_2N, toy.NASH, step=0)
    for start, gradient in zip(starts, found.T):
        x = start.clone().requires_grad_()
        losses_2 = toy.scaled_losses(x, toy.NASH)
        balanced_backward([losses_2[0], losses_2[1]], rule(2))
        torch.testing.assert_close(gradient, x.grad)


@pytest.mark.slow
def test_equal_weights_stall_in_the_valley_that_others_leave() -> None:
    """From (-8.5, 7.5) and (9, 9); between them lies (-8.5, -5), from which all reach the front."""
    toy = load("toy_front")
    walks = dict(zip(toy.QUICK_RULES, toy.walk(toy.QUICK[0], toy.QUICK_RULES)))
    for start in (0, 2):
        stalled = walks["Equal"][start]
        assert stalled.end[1] > 2.5
        halfway = stalled.points[len(stalled.points) * 2 // 3]
        assert (stalled.points[-1] - halfway).norm() < 0.5
        for rule in ("Nash-MTL", "FAMO"):
            assert walks[rule][start].end[1] < 0.5
    assert all(walks[rule][1].reached_the_front for rule in toy.QUICK_RULES)


@pytest.mark.slow
def test_gradnorm_lifts_the_small_task_and_ends_below_equal_weights() -> None:
    toy = load("gradnorm_toy")
    equal, gradnorm = (toy.train(rule, num_steps=600, seed=0) for rule in ("Equal", "GradNorm"))
    assert gradnorm.weights[0] > 10 * gradnorm.weights[1]
    assert sum(gradnorm.ratios) < 0.9 * sum(equal.ratios)


@pytest.mark.slow
def test_uncertainty_learns_the_deviations_that_the_fit_leaves() -> None:
    """The published ends are 8.6 and 0.92, for noise of deviation 10 and 1."""
    toy = load("uncertainty_toy")
    x_B1, y_BT = toy.data(seed=0)
    left = toy.residual_deviations(x_B1, y_BT)
    learned = toy.learned_sigmas(x_B1, y_BT, epochs=toy.QUICK_EPOCHS, seed=0)
    for mine, line in zip(learned, left):
        assert 0.85 * line < mine < 1.05 * line
    assert learned[0] == pytest.approx(8.6, rel=0.15)
    assert learned[1] == pytest.approx(0.92, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["equal", "dwa", "pcgrad", "cagrad", "upgrad", "graddrop"])
def test_a_thousandfold_loss_takes_all_under_rules_with_a_scale(rule: str) -> None:
    plain, scaled = load("thousandfold_loss").compare(rule, num_steps=200, seeds=range(1))
    assert min(plain) > 0.5
    assert scaled[1] < plain[1] - 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule",
    ["gls", "scale_invariant", "stch", "imtl_g", "nash_mtl", "fair_grad", "config", "gradnorm"],
)
def test_a_thousandfold_loss_changes_little_under_rules_without_a_scale(rule: str) -> None:
    plain, scaled = load("thousandfold_loss").compare(rule, num_steps=300, seeds=range(1))
    assert scaled == pytest.approx(plain, abs=0.05)
