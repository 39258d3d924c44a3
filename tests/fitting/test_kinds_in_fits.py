"""Kinds end to end, on tables whose truth is known."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from polytask import Task, binary, count, fit, load, multiclass, quantile, regression
from polytask.balancing import GradNorm, Smoothed
from polytask.errors import UserError
from polytask.fitting.comparing.score import rows_by_task, score_tasks
from polytask.kinds import KINDS, Binary, Kind, Labels, Multiclass, Regression, noise, register
from polytask.kinds.kind import fitted
from polytask.metrics import Definition, LabelSpace
from polytask.metrics.definitions import MAE, R2
from polytask.records import ValidationRecord
from polytask.streams import Batch
from polytask.training.evaluation import Predictions

SMALL = {
    "trunk": "shared_bottom",
    "hidden": (16,),
    "tower_hidden": (8,),
    "batch_size": 256,
    "baseline": "none",
    "intervals": False,
    "threads": 1,
    "allow": "x",
}


def signal(rows: int, seed: int = 0) -> tuple[np.random.Generator, np.ndarray]:
    random = np.random.default_rng(seed)
    return random, random.normal(size=rows)


def test_log1p_predicts_the_mean() -> None:
    random, x = signal(20_000)
    watch = np.expm1(2.0 + 0.4 * x + 0.8 * random.normal(size=len(x)))
    table, tasks = pa.table({"x": x, "watch": watch}), [regression("watch", transform="log1p")]
    run = fit(table, tasks, **SMALL, monitor="watch.r2")
    parts = run.metrics.tasks["watch"]
    ratio = run.predict(table)["watch"].to_numpy().mean() / watch.mean()
    # The standard error of the mean of these labels is 0.8 %.
    assert ratio == pytest.approx(1.0, abs=0.025)
    assert run.tasks[0].kind.smearing_factor == pytest.approx(math.exp(0.32), rel=0.03)
    median = fit(table, [regression("watch", transform="log1p", smearing=False)], **SMALL)
    assert median.predict(table)["watch"].to_numpy().mean() < 0.8 * watch.mean()
    # What training validated is what is reported: the same rows, the same factor, the same unit.
    records = [r for r in run.history if isinstance(r, ValidationRecord)]
    best = max(record.metrics["watch"][0].value for record in records)
    assert best == pytest.approx(parts.valid["r2"].value, abs=1e-12)


def test_the_smearing_factor_is_kept(tmp_path: Path) -> None:
    random, x = signal(2_000)
    table = pa.table({"x": x, "y": np.exp(x + random.normal(size=len(x)))})
    run = fit(table, [regression("y", transform="log1p")], out=tmp_path / "run", epochs=2, **SMALL)
    again = load(tmp_path / "run")
    assert again.tasks == run.tasks and again.tasks[0].kind.smearing_factor > 1.1
    assert again.predict(table).equals(run.predict(table))


@pytest.mark.parametrize("mean", [5_000.0, 0.05])
def test_counts_of_any_mean_start_there_and_leave_their_neighbours_alone(mean: float) -> None:
    random, x = signal(8_000)
    click = random.random(len(x)) < 1 / (1 + np.exp(-x))
    visits = random.poisson(mean * np.exp(0.3 * x - 0.045))
    table = pa.table({"x": x, "click": click, "visits": visits})
    options = SMALL | {"epochs": 8, "learning_rate": 0.01}
    beside = fit(table, [binary("click"), count("visits")], **options)
    alone = fit(table, [binary("click")], **options)
    found = beside.metrics.tasks
    assert found["visits"].test["calibration"].value == pytest.approx(1.0, abs=0.15)
    first = next(record for record in beside.history if record.step == 1)
    assert first.losses["visits"] < 4
    auc = alone.metrics.tasks["click"].test["auc"].value
    assert found["click"].test["auc"].value == pytest.approx(auc, abs=0.02)
    if mean > 1:
        as_regression = fit(table, [binary("click"), regression("visits")], **options)
        rmse = as_regression.metrics.tasks["visits"].test["rmse"].value
        assert found["visits"].test["rmse"].value < 2.0 * rmse


def test_quantiles_hold_the_shares_that_they_name() -> None:
    random, x = signal(20_000)
    y = 3.0 * x + np.exp(0.5 * x) * random.normal(size=len(x))
    table = pa.table({"x": x, "y": y})
    run = fit(table, [quantile("y", levels=(0.1, 0.5, 0.9))], epochs=8, **SMALL)
    scores = run.metrics.tasks["y"].test
    assert scores["coverage"].value == pytest.approx(1.0, abs=0.05)
    # The exact quantiles are 3 x + exp(x / 2) z; their skill on these rows is the most there is.
    exact = 3.0 * x[:, None] + np.exp(0.5 * x)[:, None] * np.array([-1.2816, 0.0, 1.2816])
    kind = run.tasks[0].kind
    best = kind.metric("pinball_skill")
    from polytask.metrics import quick_metric

    assert scores["pinball_skill"].value > 0.93 * quick_metric("pinball_skill", kind, exact, y)
    assert best.direction == "higher"
    predicted = run.predict(table)
    assert predicted.column_names == ["y", "y_q10", "y_q50", "y_q90"]
    shares = [float((y <= predicted[f"y_q{q}"].to_numpy()).mean()) for q in (10, 50, 90)]
    assert shares == pytest.approx([0.1, 0.5, 0.9], abs=0.03)


@dataclass(frozen=True, slots=True)
class Huber(Kind):
    """A kind from outside the package: Huber's loss, R2 and MAE."""

    name: ClassVar[str] = "huber"
    main_metric: ClassVar[str] = "r2"

    delta: float = 1.0
    middle: float = fitted(0.0)

    def fit(self, column: pa.ChunkedArray, what: str) -> Self:
        return replace(self, middle=float(np.nanmedian(self.encode(column, what).values_B)))

    def encode(self, column: pa.ChunkedArray, what: str) -> Labels:
        return Labels(column.cast(pa.float64()).to_numpy())

    def loss(self, outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
        return functional.huber_loss(outputs_BO[:, 0], labels_B, delta=self.delta, reduction="none")

    def predict(self, outputs_BO: Tensor) -> Tensor:
        return outputs_BO[:, 0]

    def initial_bias(self) -> Tensor:
        return torch.tensor([self.middle])

    @property
    def space(self) -> LabelSpace:
        return LabelSpace(self.name)

    @property
    def metrics(self) -> tuple[Definition, ...]:
        return (R2, MAE)


@pytest.fixture
def huber() -> Iterator[type[Huber]]:
    yield register(Huber)
    del KINDS["huber"]


def contaminated() -> pa.Table:
    """y = 2 x + 10, and a twentieth of the rows a thousand above it."""
    random, x = signal(6_000)
    wrong = 1_000.0 * (random.random(len(x)) < 0.05)
    return pa.table({"x": x, "y": 2 * x + 10 + wrong})


def test_a_kind_from_outside_is_trained_by_its_own_loss(huber: type[Huber], tmp_path: Path) -> None:
    table = contaminated()
    options = SMALL | {"epochs": 6, "learning_rate": 0.01, "ensemble": 1}
    by_object = fit(table, [Task("y", "y", huber(delta=0.5))], out=tmp_path / "run", **options)
    x, predicted = table["x"].to_numpy(), by_object.predict(table)["y"].to_numpy()
    assert np.abs(predicted - 2 * x - 10).mean() < 0.5
    squared = fit(table, [regression("y")], **options).predict(table)["y"].to_numpy()
    assert np.abs(squared - 2 * x - 10).mean() > 10
    text = (tmp_path / "run" / "run.yaml").read_text()
    assert "name: huber" in text and "delta: 0.5" in text
    assert load(tmp_path / "run").tasks == by_object.tasks
    by_name = fit(table, ["y:huber"], **options | {"epochs": 1})
    assert by_name.tasks[0].kind == huber(middle=by_object.tasks[0].kind.middle)


@dataclass(frozen=True, slots=True)
class Shifted(Huber):
    """A loss that is negative near the label."""

    name: ClassVar[str] = "shifted"

    def loss(self, outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
        return (outputs_BO[:, 0] - labels_B).abs() - 100.0

    @property
    def loss_can_be_negative(self) -> bool:
        return True


@pytest.fixture
def shifted() -> Iterator[type[Shifted]]:
    yield register(Shifted)
    del KINDS["shifted"]


def two_tasks() -> tuple[pa.Table, list[str]]:
    table = contaminated()
    return table.append_column("twice", pc.multiply(table["x"], 2.0)), [
        "twice:regression",
        "y:shifted",
    ]


@pytest.mark.parametrize(
    ("balancer", "named"),
    [
        ("gls", "GLS"),
        ("uncertainty", "Uncertainty"),
        ({"name": "combined", "loss_rule": "dwa", "gradient_rule": "upgrad"}, "DWA"),
        (Smoothed(GradNorm(2)), "GradNorm"),
    ],
)
def test_a_rule_that_needs_positive_losses_refuses_before_training(
    shifted: type[Shifted], tmp_path: Path, balancer: object, named: str
) -> None:
    with pytest.raises(UserError, match=rf"{named} takes no loss below 0.*'y' \(shifted\)"):
        fit(*two_tasks(), balancer=balancer, out=tmp_path / "run", **SMALL)
    assert not list(tmp_path.rglob("steps.jsonl"))


def test_losses_below_0_are_trained_by_rules_that_take_them(shifted: type[Shifted]) -> None:
    for balancer in ("equal", "upgrad", {"name": "famo", "min_losses": [0.0, -101.0]}):
        run = fit(*two_tasks(), balancer=balancer, epochs=1, **SMALL)
        assert min(record.losses["y"] for record in run.history if record.losses) < 0


def test_a_kind_that_is_not_registered_works_and_is_not_written(tmp_path: Path) -> None:
    table = contaminated()
    task = Task("y", "y", Huber(delta=0.5))
    run = fit(table, [task], epochs=1, **SMALL)
    assert run.tasks[0].kind.delta == 0.5
    with pytest.raises(UserError, match=r"Huber cannot be written .* register it"):
        fit(table, [task], epochs=1, out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="register it"):
        run.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "run.yaml").exists()


def test_options_of_tasks_made_in_python_are_not_lost(tmp_path: Path) -> None:
    random, x = signal(1_000)
    table = pa.table({"x": x, "topic": random.integers(0, 3, len(x)), "y": np.exp(x)})
    tasks = [
        multiclass("topic", num_classes=7),
        regression("y", transform="log1p", unit="s", noise="learned", auxiliary=True),
    ]
    run = fit(table, tasks, epochs=1, out=tmp_path / "run", **SMALL)
    for each in (run, load(tmp_path / "run")):
        topic, y = each.tasks
        assert topic.kind.classes == tuple(range(7))
        assert [name for name in each.predict(table).column_names if "_p_" in name] == [
            f"topic_p_{c}" for c in range(7)
        ]
        assert y.kind.options() == tasks[1].kind.options() and y.auxiliary


def test_kinds_are_inferred_on_the_training_rows() -> None:
    random, x = signal(1_000)
    later = np.where(np.arange(len(x)) < 800, random.integers(0, 2, len(x)), 2)
    table = pa.table({"x": x, "day": np.arange(len(x)), "y": later})
    run = fit(table, ["y"], time_column="day", test_from=800, epochs=1, **SMALL)
    assert run.tasks[0].kind.name == "binary"
    assert run.metrics.tasks["y"].test.num_rows == 0


def test_classes_unknown_to_training_are_misses_with_a_note() -> None:
    _, x = signal(3_000)
    topic = np.where(x > 0, "news", "sport").astype(object)
    topic[2_000:][::2] = "new"
    table = pa.table({"x": x, "topic": topic})
    run = fit(
        table.slice(0, 2_000),
        ["topic:multiclass"],
        test=table.slice(2_000),
        learning_rate=0.05,
        epochs=6,
        **SMALL,
    )
    for scores in (
        run.metrics.tasks["topic"].test,
        run.evaluate(table.slice(2_000))["topic"],
    ):
        assert (scores.num_rows, scores.num_unlabelled) == (1_000, 0)
        assert 0.45 < scores["accuracy"].value <= 0.5
        notes = " ".join(scores.notes)
        assert "500 rows: classes unknown to training, such as 'new'" in notes


def test_metrics_given_the_parent_are_taken_where_the_parent_is_yes() -> None:
    """On all rows the same predictions would have AUC 0.5."""
    parent = np.array([1, 1, 1, 1, 0, 0, 0, 0, np.nan])
    joint = np.array([1, 1, 0, 0, 0, 0, 0, 0, 1.0])
    conditional = np.array([0.9, 0.8, 0.2, 0.1, 0.95, 0.96, 0.97, 0.98, 0.0])
    tasks = [Task("click", "click", Binary()), Task("like", "like", Binary(), given="click")]
    labels_BT = torch.tensor(np.stack([parent, joint], axis=1), dtype=torch.float32)
    table = Batch({"x": torch.zeros(9, 1)}, {"click": labels_BT[:, 0], "like": labels_BT[:, 1]})
    values = {"click": conditional, "like": conditional}
    predictions = Predictions(values, {"like": conditional})
    rows = rows_by_task(tasks, predictions, table)
    like = score_tasks(rows, predictions, table, intervals=False)["like"]
    assert like.conditional is not None
    assert like.conditional["auc"].value == 1.0
    assert like.conditional.num_rows == 4
    assert like["auc"].value < 0.5


def test_soft_labels_are_probabilities_of_yes() -> None:
    random, x = signal(6_000)
    rate = 1 / (1 + np.exp(-2 * x))
    table = pa.table({"x": x, "p": rate, "noise": random.normal(size=len(x))})
    run = fit(table, ["p:binary"], epochs=6, learning_rate=0.01, **SMALL)
    predicted = run.predict(table)["p"].to_numpy()
    assert np.abs(predicted - rate).mean() < 0.02
    scores = run.metrics.tasks["p"].test
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)).mean()
    assert scores["log_loss"].value == pytest.approx(entropy, abs=0.02)
    assert scores["auc"].value > 0.99
    assert "taken as probabilities" in scores.notes[0]


def test_missing_values_may_be_named(tmp_path: Path) -> None:
    random, x = signal(1_000)
    table = pa.table({"x": x, "click": random.integers(-1, 2, len(x))})
    with pytest.raises(UserError, match=r"0, 1 and -1: .* missing=-1"):
        fit(table, ["click"], epochs=1, **SMALL)
    run = fit(table, ["click"], missing="-1", epochs=1, out=tmp_path / "run", **SMALL)
    assert run.tasks[0].kind.name == "binary"
    (labels,) = run.metrics.data.labels
    train = (table["click"].to_numpy() >= 0).mean()
    assert labels.labelled == pytest.approx(800 * train, abs=30)
    assert load(tmp_path / "run").evaluate(table)["click"].num_unlabelled == int(
        (table["click"].to_numpy() < 0).sum()
    )


def test_unused_kinds_keep_their_names() -> None:
    assert {"binary", "multiclass", "regression", "count", "quantile"} <= set(KINDS)
    assert isinstance(Multiclass().main_metric, str) and isinstance(Regression(), Kind)


def test_what_a_kind_draws_once_is_drawn_though_models_are_tried_out_without_memory() -> None:
    noise._draws.cache_clear()
    rows = np.random.default_rng(0).normal(size=200)
    table = {"x": rows, "y": np.where(rows > 0, "up", "down")}
    tasks = [Task("y", "y", Multiclass(noise="learned"))]
    fit(table, tasks, epochs=1, baseline="none", intervals=False, threads=1, allow=["x"])
    assert 0.7 < noise._draws(2).std() < 1.3
