"""Tasks, their losses, and the relation `given`."""

import math

import pytest
import torch
from torch import Tensor

from polytask.task import binary, count, joint_logit, multiclass, parents_first, regression


def test_losses_are_per_example_and_match_their_formulas() -> None:
    outputs = torch.tensor([[0.3], [-1.2]])
    labels = torch.tensor([1.0, 0.0])
    p = outputs.squeeze(1).sigmoid()
    log_loss = torch.stack([-p[0].log(), -(1 - p[1]).log()])
    torch.testing.assert_close(binary("a").kind.loss(outputs, labels), log_loss)
    squared = (outputs.squeeze(1) - labels) ** 2
    torch.testing.assert_close(regression("a").kind.loss(outputs, labels), squared)
    rate = outputs.squeeze(1).exp()
    poisson = torch.stack([rate[0] - 1 - rate[0].log(), rate[1]])
    torch.testing.assert_close(count("a").kind.loss(outputs, labels), poisson)
    logits = torch.tensor([[0.1, 0.2, 0.3], [1.0, 0.0, 0.0]])
    chosen = -logits.log_softmax(1)[torch.arange(2), torch.tensor([1, 0])]
    kind = multiclass("a", num_classes=3).kind
    torch.testing.assert_close(kind.loss(logits, labels), chosen)


def test_links_give_probabilities_and_values() -> None:
    outputs = torch.tensor([[0.0], [2.0]])
    torch.testing.assert_close(binary("a").kind.predict(outputs), torch.tensor([0.5, 0.880797]))
    torch.testing.assert_close(count("a").kind.predict(outputs), torch.tensor([1.0, math.e**2]))
    rows = multiclass("a", num_classes=2).kind.predict(torch.randn(3, 2)).sum(1)
    torch.testing.assert_close(rows, torch.ones(3))


@pytest.mark.parametrize("parent", [-3.0, 0.2, 4.0])
@pytest.mark.parametrize("child", [-2.0, 0.0, 5.0])
def test_the_joint_logit_is_the_logit_of_the_product(parent: float, child: float) -> None:
    a, b = torch.tensor([parent]).double(), torch.tensor([child]).double()
    product = a.sigmoid() * b.sigmoid()
    torch.testing.assert_close(joint_logit(a, b).sigmoid(), product, rtol=1e-12, atol=0)


@pytest.mark.parametrize("parent", [-120.0, 120.0])
@pytest.mark.parametrize("child", [-120.0, 120.0])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_extreme_logits_give_finite_losses_and_gradients(
    parent: float, child: float, label: float
) -> None:
    a = torch.tensor([[parent]], requires_grad=True)
    b = torch.tensor([[child]], requires_grad=True)
    loss: Tensor = binary("c", given="p").kind.loss(joint_logit(a, b), torch.tensor([label])).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(a.grad).all() and torch.isfinite(b.grad).all()


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ((), "at least one"),
        ((binary("a"), binary("a")), "must differ"),
        ((binary("a", given="b"),), "no task"),
        ((binary("a", given="b"), binary("b", given="a")), "circle"),
        ((binary("a", given="r"), regression("r")), "not binary"),
    ],
)
def test_wrong_tasks_are_refused(tasks: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parents_first(tasks)


def test_a_kind_cannot_be_given_or_have_one_class() -> None:
    with pytest.raises(ValueError, match="two classes"):
        multiclass("a", num_classes=1)
    with pytest.raises(ValueError, match="binary task"):
        from dataclasses import replace

        replace(regression("a"), given="b")
