"""The loss of knowing nothing, which losses are relative to: against formulas, and in a fit."""

import math

import numpy as np
import pyarrow as pa
import pytest
import torch

import polytask
from polytask.balancing import Relative, balanced_backward
from polytask.fitting.constant_losses import constant_losses
from polytask.kinds import Multiclass, Regression
from polytask.records import StepRecord
from polytask.streams import Batch
from polytask.task import Task, binary

NAN = float("nan")


def batch(**labels: list[float]) -> Batch:
    rows = {name: torch.tensor(values) for name, values in labels.items()}
    return Batch({"x": torch.zeros(len(next(iter(rows.values()))))}, rows)


def entropy(*shares: float) -> float:
    return -sum(share * math.log(share) for share in shares)


def test_of_yes_and_no_it_is_the_entropy_of_the_labelled_rows() -> None:
    train = batch(click=[1, 0, 0, 0, NAN], like=[1, 1, 0, NAN, NAN])
    found = constant_losses([binary("click"), binary("like")], train)
    assert found == pytest.approx([entropy(1 / 4, 3 / 4), entropy(2 / 3, 1 / 3)])


def test_of_a_quantity_it_is_one_and_of_classes_their_entropy() -> None:
    column = pa.chunked_array([[3.0, 5.0, 11.0, 40.0]])
    watch = Regression().fit(column, "watch")
    train = batch(watch=watch.encode(column, "watch").values_B.tolist(), tab=[0.0, 1.0, 2.0, 2.0])
    tab = Multiclass().fit(pa.chunked_array([["a", "b", "c", "c"]]), "tab")
    found = constant_losses([Task("watch", "watch", watch), Task("tab", "tab", tab)], train)
    # Classes begin with half a row more of each.
    shares = np.array([1.5, 1.5, 2.5]) / 5.5
    assert found == pytest.approx([1.0, -(np.log(shares) @ [1, 1, 2]) / 4], rel=1e-4)


def test_rows_count_by_their_weights() -> None:
    plain = batch(click=[1, 1, 0])
    weighted = Batch(plain.inputs, plain.labels, {"click": torch.tensor([1.0, 0.0, 3.0])})
    # The constant is the plain mean, 2/3, where heads start; its loss is that of the weighted rows.
    expected = -(math.log(2 / 3) + 3 * math.log(1 / 3)) / 4
    assert constant_losses([binary("click")], weighted) == pytest.approx([expected])


@pytest.mark.parametrize("labels", [{"other": [1.0, 0.0]}, {"click": [NAN, NAN]}])
def test_where_there_is_no_label_a_loss_counts_as_it_is(labels) -> None:
    assert constant_losses([binary("click")], batch(**labels)) == [1.0]


def test_a_loss_that_can_be_negative_counts_as_it_is() -> None:
    noisy = Task("watch", "watch", Regression(noise="learned"))
    assert constant_losses([noisy], batch(watch=[0.0, 0.0, 0.0])) == [1.0]


def test_a_factor_on_a_loss_and_its_constant_changes_nothing() -> None:
    def weighed(factor: float) -> list[float]:
        x = torch.ones(2, requires_grad=True)
        rule = Relative(2, constant_losses=[0.4 * factor, 0.1])
        balanced_backward([factor * x[0], 3 * x[1]], rule)
        return x.grad.tolist()

    assert weighed(1000.0) == pytest.approx(weighed(1.0))


def test_a_constant_of_no_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Relative(2, constant_losses=[0.1, 0.0])


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_a_power_lies_between_the_plain_sum_and_the_whole(power: float) -> None:
    x = torch.ones(2, requires_grad=True)
    step = balanced_backward([x[0], x[1]], Relative(2, constant_losses=[0.25, 4.0], power=power))
    assert step.weights.shared_T.tolist() == pytest.approx([4**power, 4**-power])
    with pytest.raises(ValueError, match="from 0 to 1"):
        Relative(2, power=power + 1.5)


def test_they_are_made_for_the_rule_that_reads_them_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def watched(*arguments: object) -> list[float]:
        made.append(arguments)
        return [1.0, 1.0]

    monkeypatch.setattr("polytask.fitting.building.constant_losses", watched)
    x = np.random.default_rng(0).normal(size=200)
    table = pa.table({"x": x, "a": (x > 0).astype(int), "b": (x > 1).astype(int)})
    options = {"epochs": 1, "baseline": "none", "intervals": False, "allow": "x"}
    for rule, is_read in (
        ("uncertainty", False),
        ("relative", True),
        ({"name": "smoothed", "inner": "relative"}, True),
    ):
        made.clear()
        polytask.fit(table, ["a:binary", "b:binary"], balancer=rule, **options)  # type: ignore[arg-type]
        assert bool(made) == is_read, rule


def test_in_a_fit_a_rare_label_weighs_more_by_its_entropy() -> None:
    x, z = np.random.default_rng(0).normal(size=(2, 600))
    half, rare = x + z > 0, x + z > 2.4
    table = pa.table({"x": x, "half": half.astype(int), "rare": rare.astype(int)})
    options = {"epochs": 1, "baseline": "none", "intervals": False, "valid": table, "test": table}
    run = polytask.fit(table, ["half:binary", "rare:binary"], balancer="relative", **options)
    first = next(each for each in run.history if isinstance(each, StepRecord))
    rates = {"half": float(half.mean()), "rare": float(rare.mean())}
    expected = {name: 1 / entropy(rate, 1 - rate) for name, rate in rates.items()}
    assert first.weights == pytest.approx(expected)
    assert expected["rare"] > 3 * expected["half"]
