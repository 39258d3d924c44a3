"""Fits end to end on tables whose truth is known: weights, the order of tasks, what is counted."""

import numpy as np
import pyarrow as pa
import pytest

from polytask import fit
from polytask.data.splits import split_random
from polytask.records import StepRecord, ValidationRecord

SMALL: dict[str, object] = {
    "trunk": "shared_bottom",
    "hidden": (8,),
    "tower_hidden": (),
    "batch_size": 200,
    "learning_rate": 0.03,
    "baseline": "none",
    "intervals": False,
    "threads": 1,
}


def test_a_weighted_table_is_the_table_with_rows_repeated() -> None:
    """One category is all that is known of a row: the best prediction is its rate, weighted."""
    random = np.random.default_rng(0)
    places = random.integers(0, 3, 1200)
    yes = random.random(1200) < np.array([0.2, 0.5, 0.8])[places]
    weights = np.where(yes == (places < 2), 3, 1)
    columns = {"place": np.array(["a", "b", "c"])[places], "click": yes}
    table = pa.table(columns | {"w": weights.astype(float)})
    repeated = table.take(pa.array(np.repeat(np.arange(1200), weights)))
    repeated = repeated.set_column(2, "w", pa.array(np.ones(len(repeated))))
    options = SMALL | {"valid_fraction": 0.0, "test_fraction": 0.0, "epochs": 60}
    options |= {"batch_size": 4096}
    runs = [fit(each, ["click"], weight="w", **options) for each in (table, repeated)]
    for place in range(3):
        here = places == place
        rate = np.average(yes[here], weights=weights[here])
        assert abs(yes[here].mean() - rate) > 0.15
        for run in runs:
            found = run.predict(table)["click"].to_numpy()[here]
            assert found == pytest.approx(rate, abs=0.02)
    for name in ("auc", "log_loss", "calibration"):
        of_weights, of_rows = (runs[0].evaluate(t)["click"][name].value for t in (table, repeated))
        assert of_weights == pytest.approx(of_rows, rel=1e-9)


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "a", "b")])
def test_the_order_of_tasks_changes_no_task(names: tuple[str, ...]) -> None:
    """Each is of an input of its own, so that a mix-up of columns, weights or metrics would show."""
    random = np.random.default_rng(0)
    x_BD = random.normal(size=(1500, 3))
    columns = {f"x{d}": x_BD[:, d] for d in range(3)}
    labels = {
        "a": x_BD[:, 0] > 0,
        "b": 100 + 5 * x_BD[:, 1],
        "c": random.poisson(np.exp(x_BD[:, 2])),
    }
    kinds = {"a": "a:binary", "b": "b:regression", "c": "c:count"}
    run = fit(
        pa.table(columns | labels),
        [kinds[name] for name in names],
        weight={"b": 2.0, "c": 0.5},
        epochs=8,
        allow="x0,x1",
        **SMALL,
    )
    assert tuple(run.metrics.tasks) == names
    assert run.history[0].weights == {"a": 1.0, "b": 2.0, "c": 0.5}
    scores = {name: result.test for name, result in run.metrics.tasks.items()}
    assert scores["a"]["auc"].value > 0.93
    assert scores["b"]["r2"].value > 0.9
    assert scores["c"]["calibration"].value == pytest.approx(1.0, abs=0.25)
    predicted = run.predict(pa.table(columns))
    for d, name in enumerate("abc"):
        likest = [abs(np.corrcoef(predicted[name].to_numpy(), x_BD[:, k])[0, 1]) for k in range(3)]
        assert int(np.argmax(likest)) == d, name


def test_the_record_counts_what_was_there() -> None:
    """Rows, labels, steps and parameters, against the table and the model themselves."""
    random = np.random.default_rng(0)
    x = random.normal(size=1000)
    minutes = np.where(random.random(1000) < 0.3, np.nan, np.exp(x))
    place = np.where(random.random(1000) < 0.7, "home", "away")
    table = pa.table({"x": x, "long": x > 1, "minutes": minutes, "place": place})
    tasks = ["long:binary:true", "minutes:regression", "place:multiclass"]
    options = SMALL | {"baseline": "single", "log_every": 3, "epochs": 2}
    run = fit(table, tasks, transform={"minutes": "log1p"}, allow="x", **options)
    train = table.take(split_random(1000, valid_fraction=0.1, test_fraction=0.1, seed=0).train)
    record = run.metrics
    assert record.data.rows == {"train": 800, "valid": 100, "test": 100}
    long, minutes_found, place_found = record.data.labels
    assert (long.positive, long.labelled, long.missing, long.is_share) == ("true", 800, 0, True)
    assert long.mean == pytest.approx(np.mean(train["long"].to_numpy()))
    known = train["minutes"].to_numpy()[~np.isnan(train["minutes"].to_numpy())]
    assert (minutes_found.labelled, minutes_found.missing) == (len(known), 800 - len(known))
    assert minutes_found.mean == pytest.approx(known.mean(), rel=1e-5)
    assert (place_found.most_frequent, place_found.num_classes) == ("home", 2)
    assert place_found.mean == pytest.approx((train["place"].to_numpy() == "home").mean())
    assert (record.speed.train_rows, record.speed.steps) == (800, 8)
    cost = record.cost
    assert cost.multi_task.parameters == sum(p.numel() for p in run.model.parameters())
    for each in (cost.multi_task, cost.single_task):
        assert each.train_rows_per_second * each.train_seconds == pytest.approx(
            1600 if each is cost.multi_task else 3 * 1600
        )
    for model in ("multi-task", "single: long", "single: minutes", "single: place"):
        mine = [each for each in run.history if each.model == model]
        steps = [each for each in mine if isinstance(each, StepRecord)]
        validations = [each for each in mine if isinstance(each, ValidationRecord)]
        assert [each.step for each in steps] == [1, 3, 6]
        assert [each.step for each in validations] == [4, 8]
        if model == "multi-task":
            best = max(validations, key=lambda each: each.score)
            assert record.speed.best_step == best.step and best.is_best
