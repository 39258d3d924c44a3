"""Which columns become inputs, and what times do to a model, on tables whose truth is known."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import polytask
from polytask import fit
from polytask.config import validate_config
from polytask.errors import UserError
from polytask.fitting.preparing.encoding import encode_examples
from polytask.fitting.preparing.prepare import prepare

QUICK = {
    "batch_size": 128,
    "learning_rate": 1e-2,
    "epochs": 10,
    "baseline": "none",
    "threads": 1,
    "num_experts": 2,
    "expert_hidden": (16,),
}
NUM_ROWS = 4000


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """A yes from six in the evening on the clock of Kolkata, where it is 5:30 later than in UTC."""
    random = np.random.default_rng(0)
    seconds = random.integers(0, 86_400 * 400, NUM_ROWS)
    start = datetime(2023, 3, 1)
    moments = [start + timedelta(seconds=int(second)) for second in seconds]
    when = pa.array(moments, pa.timestamp("ms", "Asia/Kolkata"))
    hour = pc.hour(when).to_numpy()
    user = random.integers(0, 400, NUM_ROWS)
    return pa.table({"when": when, "user": user, "yes": (hour >= 18).astype(int)})


def test_a_timestamp_is_an_input_by_itself(table: pa.Table, tmp_path: Path) -> None:
    run = fit(table, ["yes"], out=tmp_path / "run", **QUICK)
    assert run.metrics.data.inputs["time"] == ("when",)
    assert run.metrics.tasks["yes"].test["auc"].value > 0.97
    blind = fit(table, ["yes"], ignore="when", **QUICK)
    assert blind.metrics.tasks["yes"].test["auc"].value < 0.6
    again = polytask.load(tmp_path / "run")
    # The same instants, written as a file in another zone has them.
    elsewhere = table.set_column(0, "when", table["when"].cast(pa.timestamp("us", "America/Lima")))
    assert again.predict(elsewhere).equals(run.predict(table))


def test_epochs_are_an_input_by_option(table: pa.Table) -> None:
    ticks = table.set_column(0, "when", table["when"].cast(pa.int64()))
    with pytest.raises(UserError, match=r"time: .*'whne' - did you mean 'when'"):
        fit(ticks, ["yes"], columns={"time": ["whne"]}, **QUICK)
    prepared = prepare(validate_config({"tasks": ["yes"]}), ticks)
    assert "time" not in prepared.schema.inputs
    zone = {"time": {"time_zone": "Asia/Kolkata"}}
    run = fit(ticks, ["yes"], columns={"time": "when"}, input_options=zone, **QUICK)
    assert run.metrics.tasks["yes"].test["auc"].value > 0.97


def test_what_rows_are_parted_by_is_no_input_unless_it_is_asked_for(table: pa.Table) -> None:
    for options in ({"time_column": "when", "test_from": "2024-01-01"}, {"split_by": "user"}):
        (name,) = {"when", "user"} & set(options.values())
        config = {"tasks": ["yes"], **options}
        assert name not in prepare(validate_config(config), table).inputs.columns
        asked = {**config, "inputs": "when,user"}
        assert name in prepare(validate_config(asked), table).inputs.columns
    asked = {"tasks": ["yes"], "time_column": "when", "test_from": "2024-01-01"}
    asked["columns"] = {"time": ["when"]}
    assert "when" in prepare(validate_config(asked), table).inputs.columns


def test_a_time_that_gives_the_label_away_is_found(table: pa.Table) -> None:
    late = pc.greater(
        table["when"],
        pc.quantile(table["when"].cast(pa.int64()), 0.5)[0]
        .cast(pa.int64())
        .cast(table["when"].type),
    )
    leaking = table.set_column(2, "yes", late.cast(pa.int64()))
    with pytest.raises(UserError, match="'when' alone gives yes AUC"):
        fit(leaking, ["yes"], **QUICK)


def test_groups_are_those_of_equal_values() -> None:
    repeated = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 2, None, None]), pa.array(["x", "x", "y"])
    )
    table = pa.table({"g": repeated, "n": [1.0, 2.0, 3.0, 4.0, 5.0], "y": [0, 1, 0, 1, 0]})
    prepared = prepare(
        validate_config({"tasks": ["y:binary"], "valid_fraction": 0, "test_fraction": 0}), table
    )
    config = prepared.config.model_copy(update={"group": "g"})
    rows, _ = encode_examples(config, table, prepared.inputs, prepared.targets)
    codes = rows.groups.tolist()
    assert codes[0] == codes[1] and len({*codes[1:]}) == 4


@pytest.fixture(scope="module")
def clicks_of_users() -> pa.Table:
    """Users whose rate of clicks is their own, and nothing else to know them by."""
    random = np.random.default_rng(0)
    user = random.integers(0, 60, NUM_ROWS)
    rate = random.uniform(0.05, 0.95, 60)
    return pa.table(
        {
            "user": user,
            "day": np.sort(random.uniform(0, 100, NUM_ROWS)),
            "noise": random.normal(size=NUM_ROWS),
            "click": (random.uniform(size=NUM_ROWS) < rate[user]).astype(int),
        }
    )


def test_a_user_s_past_tells_what_comes(clicks_of_users: pa.Table, tmp_path: Path) -> None:
    splits = {"time_column": "day", "valid_from": 70, "test_from": 85}
    out = tmp_path / "run"
    run = fit(clicks_of_users, ["click"], history="user", out=out, **splits, **QUICK)
    assert run.metrics.data.inputs["history"] == ("user", "day")
    assert "categorical" not in run.metrics.data.inputs
    assert run.metrics.tasks["click"].test["auc"].value > 0.75
    blind = fit(clicks_of_users, ["click"], ignore="user", **splits, **QUICK)
    assert blind.metrics.tasks["click"].test["auc"].value < 0.6
    # A table to predict needs no labels; what was predicted does not depend on the rows beside.
    later = clicks_of_users.drop_columns(["click"]).slice(NUM_ROWS - 50)
    again = polytask.load(out)
    whole, last = again.predict(later), again.predict(later.slice(49))
    np.testing.assert_allclose(whole["click"].to_numpy()[-1:], last["click"].to_numpy(), rtol=1e-5)


def test_labels_that_are_pure_chance_stay_unknown(clicks_of_users: pa.Table) -> None:
    """A history that saw a row's own label, or its neighbours' of the block, would train on it."""
    random = np.random.default_rng(1)
    each = pa.array(np.arange(NUM_ROWS) // 2)
    chance = pa.array(random.integers(0, 2, NUM_ROWS // 2).repeat(2))
    table = clicks_of_users.set_column(0, "user", each).set_column(3, "click", chance)
    run = fit(table, ["click"], history="user", time_column="day", test_from=85, **QUICK)
    # Also of the rows that it was trained on: each user has two, of one label and of one block.
    assert abs(run.evaluate(table)["click"]["auc"].value - 0.5) < 0.1


@pytest.mark.parametrize(
    ("history", "match"),
    [
        ("user *", "COLUMN \\* COLUMN for a pair"),
        ("user * user", "COLUMN \\* COLUMN for a pair"),
        ("nobody", "nobody"),
        ("user * nobody", "nobody"),
    ],
)
def test_keys_that_are_none(clicks_of_users: pa.Table, history: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        fit(clicks_of_users, ["click"], history=history, time_column="day", test_from=85)
    with pytest.raises(UserError, match="history needs time_column"):
        fit(clicks_of_users, ["click"], history="user")
