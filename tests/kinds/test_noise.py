"""Tasks that learn how noisy each label is."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from polytask.kinds.noise import noisy_binary_loss, noisy_multiclass_loss, noisy_squared_error
from polytask.task import Task, binary, multiclass, parents_first, regression


def test_gaussian_golden(goldens_folder: Path) -> None:
    text = (goldens_folder / "uncertainty_weighting.json").read_text()
    golden = json.loads(text)["heteroscedastic"]
    value_B, log_variance_B = (
        torch.tensor(golden[key], dtype=torch.float64) for key in ("f", "logvar")
    )
    losses_B = noisy_squared_error(
        torch.stack([value_B, log_variance_B], 1), torch.tensor(golden["y"])
    )
    assert float(losses_B.mean()) == pytest.approx(golden["gaussian"], abs=1e-12)


def test_the_best_log_variance_is_that_of_the_error() -> None:
    outputs_B2 = torch.tensor([[1.0, torch.tensor(4.0).log()]], requires_grad=True)
    noisy_squared_error(outputs_B2, torch.tensor([3.0])).sum().backward()
    assert outputs_B2.grad[0, 1] == pytest.approx(0.0, abs=1e-6)


def draws(outputs_BO: Tensor, labels_B: Tensor, num_draws: int = 400_000) -> Tensor:
    """The paper's own way: -log of the mean probability over draws."""
    generator = torch.Generator().manual_seed(1)
    logits_BC, spread_B = outputs_BO[:, :-1], (0.5 * outputs_BO[:, -1]).exp()
    found = []
    for logits_C, spread, label in zip(logits_BC, spread_B, labels_B):
        noise_NC = torch.randn(num_draws, len(logits_C), generator=generator).double()
        noisy_NC = logits_C + spread * noise_NC
        if len(logits_C) == 1:
            chosen_N = (noisy_NC[:, 0] * (2 * label - 1)).sigmoid()
        else:
            chosen_N = noisy_NC.softmax(1)[:, int(label)]
        found.append(-chosen_N.mean().log())
    return torch.stack(found)


def test_classification_is_the_mean_over_draws() -> None:
    outputs_B2 = torch.tensor([[0.3, -1.0], [-2.0, 1.0], [1.0, 2.0]]).double()
    labels_B = torch.tensor([1.0, 1.0, 0.0]).double()
    exact_B = draws(outputs_B2, labels_B)
    torch.testing.assert_close(noisy_binary_loss(outputs_B2, labels_B), exact_B, rtol=0, atol=3e-3)
    outputs_BO = torch.tensor([[0.3, -1.0, 0.1, -1.0], [2.0, 0.0, 0.0, 0.5]]).double()
    labels_B = torch.tensor([2.0, 0.0])
    exact_B = draws(outputs_BO, labels_B)
    few_B = noisy_multiclass_loss(outputs_BO, labels_B)
    torch.testing.assert_close(few_B, exact_B, rtol=0, atol=0.03)


@pytest.mark.parametrize(
    "make", [binary, regression, lambda *a, **k: multiclass(*a, num_classes=3, **k)]
)
def test_without_noise_the_loss_is_the_plain_one(make: object) -> None:
    noisy, plain = make("a", noise="learned").kind, make("a").kind
    outputs_BO = torch.randn(6, plain.num_outputs).double()
    labels_B = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    log_variance = 0.0 if plain.name == "regression" else -1e9
    with_noise_BO = torch.cat([outputs_BO, torch.full((6, 1), log_variance).double()], 1)
    expected_B = plain.loss(outputs_BO, labels_B)
    if plain.name == "regression":
        expected_B = expected_B / 2
    torch.testing.assert_close(
        noisy.loss(with_noise_BO, labels_B), expected_B, atol=2e-5, rtol=1e-3
    )
    torch.testing.assert_close(
        noisy.predict(with_noise_BO), plain.predict(outputs_BO), atol=2e-3, rtol=0
    )
    assert noisy.num_outputs == plain.num_outputs + 1


@pytest.mark.parametrize("value", [-1e4, 1e4])
@pytest.mark.parametrize("loss", [noisy_squared_error, noisy_binary_loss, noisy_multiclass_loss])
def test_any_log_variance_keeps_the_loss_finite(loss: object, value: float) -> None:
    outputs_BO = torch.tensor([[30.0, value]], requires_grad=True)
    if loss is noisy_multiclass_loss:
        outputs_BO = torch.tensor([[30.0, -30.0, value]], requires_grad=True)
    found = loss(outputs_BO, torch.tensor([0.0]))
    found.sum().backward()
    assert found.isfinite().all() and outputs_BO.grad.isfinite().all()


def test_noise_and_given_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="one logit"):
        Task("b", "b", binary("b", noise="learned").kind, given="a")
    with pytest.raises(ValueError, match="constant noise"):
        parents_first((binary("a", noise="learned"), binary("b", given="a")))
