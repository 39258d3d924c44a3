"""Fits end to end on tables whose truth is known: weights that count, tasks in any order."""

import numpy as np
import pyarrow as pa
import pytest

from polytask import fit

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
