"""Extra losses and pre-training in whole fits: they are trained on, change nothing else, and are not kept."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import polytask
from polytask.config import validate_config
from polytask.errors import UserError
from polytask.fitting.fitting import fit_events
from polytask.records import StepRecord, read_history

QUICK = {
    "batch_size": 128,
    "epochs": 2,
    "baseline": "none",
    "threads": 1,
    "ensemble": 1,
    "num_experts": 2,
    "expert_hidden": (16,),
    "intervals": False,
    "log_every": 1,
}
DOMAIN = {"name": "adversarial", "column": "domain"}


def steps_of(run: Path) -> list[StepRecord]:
    return [record for record in read_history(run) if isinstance(record, StepRecord)]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    random = np.random.default_rng(0)
    number = 1500
    x = random.normal(size=number)
    return pa.table(
        {
            "x": x,
            "same": 2 * x + 0.1 * random.normal(size=number),
            "city": np.minimum(random.geometric(0.4, number), 6).astype(str).tolist(),
            "domain": random.choice(["web", "app"], number).tolist(),
            "yes": (x + random.normal(size=number) > 0).astype(int),
            "also": x + random.normal(size=number),
        }
    )


@pytest.mark.parametrize(
    "auxiliary",
    ["replaced_values", "masked_columns", {"name": "frequency", "column": "city"}, DOMAIN],
)
def test_it_is_trained_on_and_not_kept(
    table: pa.Table, auxiliary: str | dict[str, object], tmp_path: Path
) -> None:
    spec = {"name": auxiliary} if isinstance(auxiliary, str) else auxiliary
    out = tmp_path / "run"
    options = {"auxiliary": {**spec, "weight": "balanced"}, "out": out, **QUICK}
    run = polytask.fit(table, ["yes"], ignore="also,domain", **options)
    steps = [step for step in steps_of(out) if spec["name"] in step.losses]
    assert len(steps) == len(steps_of(out)) > 15
    again = polytask.load(out)
    assert not [*again.model.objectives]
    np.testing.assert_allclose(run.predict(table)["yes"], again.predict(table)["yes"])
    plain = polytask.fit(table, ["yes"], ignore="also,domain", **QUICK)
    assert not np.allclose(run.predict(table)["yes"], plain.predict(table)["yes"], atol=1e-6)


def test_detection_of_replaced_values_is_learned(table: pa.Table, tmp_path: Path) -> None:
    """`same` is nearly a multiple of `x`: an exchanged value stands out."""
    spec = {"name": "replaced_values", "columns": ["x", "same"], "weight": "balanced"}
    options = {**QUICK, "epochs": 15, "learning_rate": 0.01, "out": tmp_path / "run"}
    polytask.fit(table, ["yes"], ignore="also,domain", auxiliary=spec, **options)
    losses = [step.losses["replaced_values"] for step in steps_of(tmp_path / "run")]
    assert np.mean(losses[-20:]) < 0.75 * np.mean(losses[:5])


@pytest.mark.parametrize("balancer", ["equal", "uncertainty", "upgrad"])
def test_balancers_weigh_tasks_and_extra_losses(
    table: pa.Table, balancer: str, tmp_path: Path
) -> None:
    specs = [{"name": "masked_columns", "weight": "balanced"}, {**DOMAIN, "weight": 0.05}]
    run = polytask.fit(
        *(table, ["yes", "also"]),
        **{"auxiliary": specs, "balancer": balancer, "out": tmp_path / "run", **QUICK},
    )
    last = steps_of(tmp_path / "run")[-1]
    assert [*last.weights] == [*last.losses] == ["yes", "also", "masked_columns", "adversarial"]
    assert last.weights["adversarial"] == 0.05 and 0 < last.accuracies["adversarial"] < 1
    assert set(run.metrics.tasks) == {"yes", "also"}


def test_a_column_is_an_auxiliary_task(table: pa.Table) -> None:
    run = polytask.fit(table, ["yes"], auxiliary="also:regression", **QUICK)
    assert set(run.metrics.tasks) == {"yes"}
    assert [task.auxiliary for task in run.config.tasks] == [False, True]
    assert run.config.auxiliary == () and "also" not in run.metrics.data.inputs["numeric"]


@pytest.mark.parametrize("first", ["replaced_values", "also", "also,replaced_values"])
def test_pre_training_is_where_the_model_starts(
    table: pa.Table, first: str, tmp_path: Path
) -> None:
    options = {**QUICK, "pretrain": first, "pretrain_epochs": 1, "auxiliary": "replaced_values"}
    run = polytask.fit(table, ["yes", "also"], out=tmp_path / "run", **options)
    history = steps_of(tmp_path / "run")
    models = [step.model for step in history]
    assert models == ["pre-training"] * 10 + ["multi-task"] * 20
    assert set(history[0].losses) == set(first.split(","))
    assert set(run.metrics.tasks) == {"yes", "also"}
    if "also" in first:
        plain = polytask.fit(table, ["yes", "also"], out=tmp_path / "plain", **QUICK)
        begins = history[10].losses["also"]
        assert begins < 0.98 * steps_of(tmp_path / "plain")[0].losses["also"]
        assert set(plain.metrics.tasks) == {"yes", "also"}


def test_resuming_is_exact(table: pa.Table, tmp_path: Path) -> None:
    """The discriminator's own steps, the added rows and the phase are where they were."""
    options = {
        **QUICK,
        "auxiliary": [{**DOMAIN, "weight": "balanced"}, "replaced_values"],
        "pretrain": "replaced_values",
        "checkpoint_every": 7,
        "epochs": 2,
    }
    whole = polytask.fit(table, ["yes"], ignore="also", out=tmp_path / "whole", **options)
    config = validate_config(
        {"tasks": ["yes"], "ignore": "also", "out": tmp_path / "half", **options}
    )
    taken = 0
    events = fit_events(config, table)
    for event in events:
        taken += type(event).__name__ == "TrainStep"
        if taken == 29:
            break
    events.close()
    again = polytask.resume(tmp_path / "half", table)
    np.testing.assert_array_equal(whole.predict(table)["yes"], again.predict(table)["yes"])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"auxiliary": "replaced_value"}, "did you mean 'replaced_values'"),
        ({"auxiliary": {"name": "adversarial", "column": "yes"}}, "'yes' is the label of a task"),
        (
            {"auxiliary": {"name": "adversarial", "column": "no"}, "derive": "no = 1 - yes"},
            "'no' is the label of a task, or follows from",
        ),
        ({"auxiliary": {"name": "frequency", "column": "yes"}}, "'yes' is the label of a task"),
        (
            {"auxiliary": {"name": "replaced_values", "columns": ["x", "yes"]}},
            "'yes' is the label of a task",
        ),
        ({"auxiliary": "again=yes"}, "'yes' is the label of the goal 'yes' already"),
        (
            {"auxiliary": {"name": "adversarial", "column": "all"}, "derive": "all = 0 * x"},
            "1 diff",
        ),
        ({"auxiliary": {"name": "adversarial", "column": "x"}}, "domains are 2 or more"),
        (
            {"auxiliary": {**DOMAIN, "weight": {"from": 1, "to": 0, "begin": 0.9, "end": 0.1}}},
            "ends before it begins",
        ),
        ({"auxiliary": {"name": "masked_columns", "rate": 0.1}}, "has no option 'rate'"),
        ({"auxiliary": {"name": "masked_columns", "weight": "heavy"}}, "weight"),
        ({"auxiliary": ["frequency"]}, "needs a column"),
        ({"auxiliary": [DOMAIN, DOMAIN]}, "two tasks or extra losses are named 'adversarial'"),
        ({"pretrain": "nobody"}, "no task and no extra loss 'nobody'"),
        ({"pretrain_epochs": 2}, "pretrain_epochs needs pretrain"),
        ({"pretrain_rate": 0.1, "pretrain": ()}, "pretrain_rate needs pretrain"),
        ({"compare_auxiliary": 2}, "compare_auxiliary needs auxiliary"),
    ],
)
def test_wishes_that_cannot_be_met(table: pa.Table, options: dict[str, object], match: str) -> None:
    with pytest.raises(UserError, match=match):
        polytask.fit(table, ["yes"], **{**QUICK, **options})


def test_frequencies_of_a_column_that_only_the_test_has(table: pa.Table) -> None:
    spec = {"name": "frequency", "column": "city"}
    train = table.drop_columns(["city"])
    with pytest.raises(UserError, match="training rows have no column 'city'"):
        polytask.fit(train, ["yes"], auxiliary=spec, test=table, **QUICK)


def test_a_weight_that_moves_is_logged_as_it_was(table: pa.Table, tmp_path: Path) -> None:
    weight = {"from": 0.4, "to": 0.0, "begin": 0.25, "end": 0.75}
    spec = {"name": "replaced_values", "weight": weight}
    polytask.fit(table, ["yes"], auxiliary=spec, out=tmp_path / "run", **QUICK)
    steps = steps_of(tmp_path / "run")
    found = [step.weights["replaced_values"] for step in steps]
    expected = np.interp(np.arange(len(steps)) / len(steps), [0.25, 0.75], [0.4, 0.0])
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_pre_training_has_a_rate_of_its_own(table: pa.Table, tmp_path: Path) -> None:
    options = {**QUICK, "pretrain": "also", "pretrain_rate": 0.02, "learning_rate": 0.001}
    polytask.fit(table, ["yes", "also"], out=tmp_path / "run", **options)
    highest = {"pre-training": 0.0, "multi-task": 0.0}
    for step in steps_of(tmp_path / "run"):
        highest[step.model] = max(highest[step.model], step.learning_rate)
    assert highest["pre-training"] == pytest.approx(0.02, rel=0.1)
    assert highest["multi-task"] == pytest.approx(0.001, rel=0.1)


def test_the_data_set_is_the_domain_where_no_column_is_named(table: pa.Table) -> None:
    """Two tables, one shifted: a discriminator that is not reversed tells them apart."""
    shifted = table.set_column(0, "x", pa.array(np.asarray(table["x"]) + 4))
    spec = {"name": "adversarial", "weight": 1.0, "reversal": 0.0}
    run = polytask.fit(
        data={"one": table, "two": shifted.slice(0, 900)},
        tasks=["one.yes", "two.yes"],
        auxiliary=spec,
        inputs="x,same",
        **{**QUICK, "epochs": 4, "learning_rate": 0.02},
    )
    (loss,) = run.metrics.auxiliary.losses
    assert loss.chance == pytest.approx(1500 / 2400, abs=0.01) and loss.accuracy > 0.9
    with pytest.raises(UserError, match="or several data sets"):
        polytask.fit(table, ["yes"], auxiliary="adversarial", **QUICK)
