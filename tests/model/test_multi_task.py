"""MultiTaskModel: losses of labelled rows only, absent tasks, joint probabilities."""

import dataclasses
import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from polytask.inputs import SingleInput
from polytask.kinds import Binary, Count
from polytask.model import MultiTaskModel, Outputs
from polytask.streams import Batch
from polytask.task import Task, binary, multiclass, regression
from polytask.trunks import SharedBottom

NAN = math.nan


def make(tasks: list[Task]) -> MultiTaskModel:
    torch.manual_seed(0)
    return MultiTaskModel(SingleInput("x"), SharedBottom(3, len(tasks), hidden=(4,)), tasks)


def batch_of(
    labels: Mapping[str, list[float]], weights: Mapping[str, list[float]] | None = None
) -> Batch:
    num_rows = len(next(iter(labels.values())))
    x_BD = torch.randn(num_rows, 3, generator=torch.Generator().manual_seed(1))
    return Batch(
        {"x": x_BD},
        {name: torch.tensor(values) for name, values in labels.items()},
        {name: torch.tensor(values) for name, values in (weights or {}).items()},
    )


def losses(model: MultiTaskModel, batch: Batch) -> tuple[Outputs, list[Tensor | None]]:
    result = model(batch.inputs)
    return result, model.losses(result, batch)


def test_a_loss_is_the_mean_over_the_labelled_rows() -> None:
    model = make([binary("a"), regression("b")])
    batch = batch_of({"a": [1.0, NAN, 0.0], "b": [NAN, 0.5, 2.0]})
    result, (a, b) = losses(model, batch)
    kind = model.tasks[0].kind
    expected = kind.loss(result.outputs[0][[0, 2]], torch.tensor([1.0, 0.0])).mean()
    torch.testing.assert_close(a, expected)
    expected = (result.outputs[1][[1, 2], 0] - torch.tensor([0.5, 2.0])).square().mean()
    torch.testing.assert_close(b, expected)


def test_a_task_without_labels_is_absent_and_one_at_its_optimum_is_not() -> None:
    model = make([binary("a"), regression("b"), binary("c")])
    batch = batch_of({"a": [NAN, NAN], "b": [0.0, 0.0]})
    optimum = model(batch.inputs).outputs[1].detach().squeeze(1)
    batch = dataclasses.replace(batch, labels={**batch.labels, "b": optimum})
    _, (absent, present, unnamed) = losses(model, batch)
    assert absent is None and unnamed is None
    assert present is not None and present.item() == 0


def test_a_stand_in_counts_in_no_loss() -> None:
    model = make([regression("a")])
    batch = batch_of({"a": [1.0, 2.0]}, {"a": [1.0, 2.0]})
    assert model.losses(model(batch.inputs), dataclasses.replace(batch, is_stand_in=True)) == [None]


def test_missing_labels_send_no_gradient_and_no_nan() -> None:
    model = make([binary("a"), multiclass("b", num_classes=3)])
    x_BD = torch.randn(2, 3, requires_grad=True)
    batch = Batch({"x": x_BD}, {"a": torch.tensor([1.0, NAN]), "b": torch.tensor([2.0, NAN])})
    sum(losses(model, batch)[1]).backward()
    assert x_BD.grad is not None and torch.isfinite(x_BD.grad).all()
    assert x_BD.grad[1].abs().sum() == 0 and x_BD.grad[0].abs().sum() > 0


def test_weights_average_and_zero_weights_are_absent() -> None:
    model = make([regression("a"), regression("b"), regression("c")])
    zeros = {name: [0.0, 0.0] for name in ("a", "b", "c")}
    batch = batch_of(zeros, {"a": [1.0, 3.0], "b": [0.0, 0.0]})
    result, (a, b, c) = losses(model, batch)
    squares = result.outputs[0].squeeze(1).square()
    torch.testing.assert_close(a, (squares[0] + 3 * squares[1]) / 4)
    assert b is None
    torch.testing.assert_close(c, result.outputs[2].square().mean())


def test_a_weighted_row_is_so_many_rows() -> None:
    """The loss and its gradient are those of the table with rows repeated, missing labels too."""
    model = make([regression("a"), binary("b")])
    labels = {"a": [0.5, NAN, 2.0, 1.0], "b": [1.0, 0.0, NAN, 1.0]}
    weights = {"a": [3.0, 2.0, 1.0, 0.0], "b": [3.0, 2.0, 1.0, 0.0]}
    weighted = batch_of(labels, weights)
    index = torch.tensor([0, 0, 0, 1, 1, 2])
    repeated = dataclasses.replace(weighted[index], weights={})
    gradients = []
    for batch in (weighted, repeated):
        found = losses(model, batch)[1]
        gradients.append(torch.autograd.grad(sum(found), [*model.parameters()]))
    torch.testing.assert_close(*gradients)
    assert all(len(batch.labels) == 2 for batch in (weighted, repeated))


def test_a_given_task_predicts_the_product_in_any_order() -> None:
    model = make([binary("grandchild", given="child"), binary("child", given="top"), binary("top")])
    result = model({"x": torch.randn(5, 3)})
    joint = [output.sigmoid() for output in result.outputs]
    own = [output.sigmoid() for output in result.own]
    torch.testing.assert_close(joint[2], own[2])
    torch.testing.assert_close(joint[1], own[1] * own[2])
    torch.testing.assert_close(joint[0], own[0] * own[1] * own[2])


def test_the_trunk_must_fit_the_tasks() -> None:
    with pytest.raises(ValueError, match="built for 2 tasks, but there are 1"):
        MultiTaskModel(SingleInput("x"), SharedBottom(3, 2), [binary("a")])


def test_heads_start_at_the_mean_of_the_training_labels() -> None:
    """What a head makes of features that say nothing."""
    rate, mean = Binary(base_rate=0.2), Count(mean=7.0)
    model = make([Task("a", "a", rate), Task("b", "b", mean)])
    starts = [
        task.kind.predict(head(torch.zeros(1, head.in_features))).item()
        for task, head in zip(model.tasks, model.heads)
    ]
    assert starts == pytest.approx([0.2, 7.0], rel=1e-5)


def test_towers_and_heads_are_the_tasks_own() -> None:
    model = MultiTaskModel(
        SingleInput("x"),
        SharedBottom(3, 2, hidden=(4,)),
        [binary("a"), binary("b")],
        tower_hidden=(2,),
    )
    outputs = model({"x": torch.randn(4, 3)}).outputs
    outputs[0].sum().backward()
    assert model.heads[0].weight.grad is not None
    assert model.heads[1].weight.grad is None
    assert all(p.grad is None for p in model.towers[1].parameters())
