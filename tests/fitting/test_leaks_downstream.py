"""What a label gives away in another form is no input: the truth of these tables is known."""

import numpy as np
import pyarrow as pa
import pytest

import polytask
from polytask.config import validate_config
from polytask.errors import UserError
from polytask.fitting import Prepared, prepare

ROWS = 2000


@pytest.fixture(scope="module")
def log() -> pa.Table:
    """x says nothing about watch or refund; they are noise."""
    random = np.random.default_rng(0)
    refund = random.exponential(size=ROWS) * (random.random(ROWS) < 0.3)
    return pa.table(
        {
            "x": random.normal(size=ROWS),
            "duration": random.uniform(10, 20, size=ROWS),
            "watch": random.exponential(size=ROWS),
            "refund": refund,
            "returned": (refund > 0).astype(int),
        }
    )


def prepared(log: pa.Table, task: str, **options: object) -> Prepared:
    return prepare(validate_config({"tasks": [task], **options}), log)


def reason(prepared: Prepared, name: str) -> str:
    return next(column.reason for column in prepared.schema.columns if column.name == name)


def test_a_column_derived_from_a_label_is_no_input(log: pa.Table) -> None:
    found = prepared(log, "watch:regression", derive=["share = watch / duration"])
    assert "share" not in found.schema.numeric
    assert reason(found, "share").startswith("derived from 'watch'")


def test_nor_is_one_derived_from_that(log: pa.Table) -> None:
    derive = ["share = watch / duration", "twice = 2 * share", "long = duration > 15"]
    found = prepared(log, "watch:regression", derive=derive, after=["refund", "returned"])
    assert set(found.schema.numeric) == {"x", "duration"}
    assert reason(found, "twice").startswith("derived from 'watch'")
    assert "long" in found.schema.categorical


def test_nor_one_derived_from_what_is_known_after_the_event(log: pa.Table) -> None:
    derive = ["refund_rate = refund / duration"]
    found = prepared(log, "returned:binary", after=["refund", "watch"], derive=derive)
    assert set(found.schema.numeric) == {"x", "duration"}


def test_allow_keeps_it_and_naming_it_as_an_input_asks(log: pa.Table) -> None:
    derive = ["coarse = watch // 1"]
    kept = prepared(log, "watch:regression", derive=derive, allow=["coarse"], after=["refund"])
    assert "coarse" in (*kept.schema.numeric, *kept.schema.categorical)
    with pytest.raises(UserError, match=r"derived from 'watch'.*allow='coarse'"):
        prepared(log, "watch:regression", derive=derive, inputs=["x", "coarse"])


def test_a_copy_of_a_regression_label_stops_and_a_strong_hint_warns(log: pa.Table) -> None:
    watch = log["watch"].to_numpy()
    noise = np.random.default_rng(1).normal(size=ROWS)
    with pytest.raises(UserError, match=r"'copy' alone gives watch R2 (0\.99|1\.00)"):
        prepared(log.append_column("copy", pa.array(3 * watch + 1)), "watch:regression")
    hinted = log.append_column("hint", pa.array(watch + 0.3 * noise))
    found = prepared(hinted, "watch:regression", after=["refund"])
    # Independent: the share of var(watch) = 1 in var(hint) = 1.09 bounds what hint can explain.
    assert [(leak.column, leak.metric) for leak in found.leaks] == [("hint", "R2")]
    assert 0.8 < found.leaks[0].value < 1 / 1.09 + 0.02


def test_nothing_can_be_learned_of_noise(log: pa.Table) -> None:
    run = polytask.fit(
        log,
        ["watch:regression"],
        derive=["share = watch / duration"],
        after=["refund", "returned"],
        baseline="none",
        epochs=2,
    )
    assert run.metrics.tasks["watch"].test["r2"].value < 0.05
