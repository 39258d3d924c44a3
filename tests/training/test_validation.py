"""What is validated: losses and scores of weighted rows, in the labels' own unit."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from polytask.errors import UserError
from polytask.kinds import Regression
from polytask.metrics import evaluate
from polytask.streams import Batch, InMemoryStream
from polytask.training import Monitor, Term, TrainingRun, calibrating, evaluation, predict, validate

MakeRun = Callable[..., TrainingRun]


@pytest.fixture
def weighted(valid: Batch) -> Batch:
    """Whole weights, some zero; labels missing mostly in the first rows."""
    rows = torch.arange(len(valid))
    labels = {
        "a": valid.labels["a"].masked_fill((rows < 100) & (rows % 3 > 0), torch.nan),
        "b": valid.labels["b"].masked_fill(rows % 7 == 0, torch.nan),
    }
    weights = {"a": (rows % 4).float(), "b": 1 + (rows >= 200) * 5.0}
    return replace(valid, labels=labels, weights=weights, groups=rows % 9)


def repeated(table: Batch, task: str) -> Batch:
    """Each row as often as it weighs for the task."""
    index = torch.repeat_interleave(torch.arange(len(table)), table.weights[task].long())
    return replace(table[index], weights={})


@pytest.mark.parametrize("size", [37, 8192])
def test_validation_losses_are_those_of_the_whole_weighted_table(
    size: int, make_run: MakeRun, weighted: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is cut into pieces, and as if rows were repeated."""
    monkeypatch.setattr(evaluation, "PREDICTION_BATCH", size)
    run = make_run()
    found = validate(run, weighted).losses
    with torch.no_grad():
        whole = run.model.losses(run.model(weighted.inputs), weighted)
    assert found == pytest.approx({"a": whole[0].item(), "b": whole[1].item()}, rel=1e-5)
    for task, loss in found.items():
        assert validate(run, repeated(weighted, task)).losses[task] == pytest.approx(loss, rel=1e-5)
    plain = validate(run, replace(weighted, weights={})).losses
    assert abs(plain["b"] - found["b"]) > 1e-3


def test_pieces_of_little_weight_count_little(make_run: MakeRun, valid: Batch) -> None:
    """Two pieces of 8,192 rows, one hard and of weight .001: its loss hardly counts."""
    index = torch.arange(2 * 8192) % len(valid)
    table = valid[index]
    is_hard = torch.arange(len(table)) >= 8192
    labels_B = torch.where(is_hard, 100.0, 0.0)
    weights = {"b": torch.where(is_hard, 1e-3, 1.0)}
    run = make_run()
    losses = validate(
        run, Batch(table.inputs, {"a": table.labels["a"], "b": labels_B}, weights)
    ).losses
    with torch.no_grad():
        outputs_B = run.model(table.inputs).outputs[1][:, 0].double()
    squares = (outputs_B - labels_B).square()
    expected = (squares * weights["b"]).sum() / weights["b"].sum()
    assert losses["b"] == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("is_training", [True, False])
def test_what_is_validated_drops_nothing_out_and_the_mode_is_put_back(
    is_training: bool, make_run: MakeRun, valid: Batch
) -> None:
    run = make_run(dropout=0.5)
    run.model.train(is_training)
    first, second = (validate(run, valid).losses for _ in range(2))
    assert first == second
    assert run.model.training == run.model.trunk.training == is_training


def test_a_task_without_labels_has_no_validation_loss(make_run: MakeRun, valid: Batch) -> None:
    labels = {"a": valid.labels["a"], "b": torch.full((len(valid),), torch.nan)}
    assert [*validate(make_run(), replace(valid, labels=labels)).losses] == ["a"]


def test_the_score_is_that_of_weighted_rows(make_run: MakeRun, weighted: Batch) -> None:
    run = make_run()
    run.monitor = Monitor((Term("a", "auc", 0.25), Term("a", "gauc"), Term("b", "rmse", 2.0)))
    found = validate(run, weighted)
    for task, names in (("a", ("auc", "gauc")), ("b", ("rmse",))):
        rows = repeated(weighted, task)
        predictions = predict(run.model, rows).values[task]
        kind = {each.name: each.kind for each in run.model.tasks}[task]
        told = evaluate(kind, predictions, rows.labels[task].numpy(), groups=rows.groups.numpy())
        expected = {metric.name: metric.value for metric in told.metrics}
        for name in names:
            assert found.metrics[task][name] == pytest.approx(expected[name], rel=1e-9)
    metrics = found.metrics
    score = 0.25 * metrics["a"]["auc"] + metrics["a"]["gauc"] - 2 * metrics["b"]["rmse"]
    assert found.score == pytest.approx(score)
    plain = validate(run, replace(weighted, weights={})).metrics
    assert abs(plain["a"]["auc"] - metrics["a"]["auc"]) > 1e-4


def test_a_task_is_scored_in_its_own_unit(make_run: MakeRun, valid: Batch) -> None:
    """Predictions and labels are decoded, each task by its kind."""
    run = make_run()
    run.monitor = Monitor((Term("b", "mae"), Term("a", "auc")))
    plain, kind = run.model.tasks
    outputs = predict(run.model, valid).values["b"]
    run.model.tasks = (plain, replace(kind, kind=Regression(transform="log1p", std=3.0)))
    labels = valid.labels["b"].numpy().astype(np.float64)
    expected = np.abs(np.expm1(3 * outputs) - np.expm1(3 * labels)).mean()
    assert validate(run, valid).metrics["b"]["mae"] == pytest.approx(expected, rel=1e-5)


def test_conditional_predictions_are_kept_of_given_tasks_alone(make_run: MakeRun) -> None:
    predictions = predict(make_run().model, Batch({"x": torch.zeros(2, 4)}))
    assert [*predictions.values] == ["a", "b"] and not predictions.conditional


def test_a_table_without_the_monitored_labels_is_refused(make_run: MakeRun, valid: Batch) -> None:
    with pytest.raises(UserError, match="task 'a' has no labels"):
        validate(make_run(), Batch(valid.inputs, {"b": valid.labels["b"]}))


def test_what_is_calibrated_counts_rows_by_their_weights(
    make_run: MakeRun, weighted: Batch
) -> None:
    """A weighted row is so many rows, and one without a label none; other kinds stay as they are."""
    factors = []
    for table in (weighted, repeated(weighted, "b"), replace(weighted, weights={})):
        run = make_run()
        kind = Regression(transform="log1p", std=3.0)
        run.model.tasks = (run.model.tasks[0], replace(run.model.tasks[1], kind=kind))
        before = run.model.tasks[0]
        calibrating.calibrate(run.model, InMemoryStream(table, batch_size=70), run.settings)
        assert run.model.tasks[0] is before
        factors.append(run.model.tasks[1].kind.smearing_factor)
    assert factors[0] == pytest.approx(factors[1], rel=1e-6)
    assert abs(factors[2] / factors[0] - 1) > 1e-3
