"""A table with the labels of some tasks is evaluated on those, and the rest is named."""

import numpy as np
import pyarrow as pa
import pytest

from polytask import Run, fit
from polytask.errors import UserError

TASKS = [
    "click:binary",
    "like:binary",
    "topic:multiclass",
    "visits:count",
    "late=minutes:binary:>=9",
]
TASKS += ["watch:quantile", "long:binary"]


@pytest.fixture(scope="module")
def visits() -> pa.Table:
    draw = np.random.default_rng(0)
    x = draw.normal(size=400)
    click = (x + draw.normal(size=400) > 0).astype(int)
    return pa.table(
        {
            "x": x,
            "click": click,
            "like": click * draw.integers(0, 2, 400),
            "topic": draw.choice(["a", "b", "c"], 400),
            "visits": draw.poisson(np.exp(x / 2)),
            "minutes": draw.integers(0, 20, 400),
            "watch": x + draw.normal(size=400),
            "seconds": draw.integers(0, 60, 400),
            "weight": draw.uniform(0.5, 2, 400),
        }
    )


@pytest.fixture(scope="module")
def run(visits: pa.Table) -> Run:
    return fit(
        visits,
        TASKS,
        given={"like": "click"},
        weight={"visits": "weight"},
        derive="long=seconds>=30",
        ignore="seconds",
        baseline="none",
        intervals=False,
        epochs=1,
        threads=1,
    )


def test_what_is_labelled_is_evaluated_as_in_the_whole_table(run: Run, visits: pa.Table) -> None:
    whole = run.evaluate(visits)
    some = run.evaluate(visits.select(["x", "click", "like", "topic"]))
    assert list(some) == list(whole)
    for name in ("click", "like", "topic"):
        assert some[name] == whole[name]
    for name, column in (("visits", "visits"), ("late", "minutes"), ("watch", "watch")):
        assert some[name].metrics == () and some[name].num_rows == 0
        assert f"not evaluated: the table lacks column {column!r}" in some[name].notes
    assert "not evaluated: the table lacks column 'long'" in some["long"].notes


def test_a_task_given_another_needs_its_parent_s_labels(run: Run, visits: pa.Table) -> None:
    some = run.evaluate(visits.drop_columns(["click"]))
    assert some["like"].num_rows == 0
    assert any("need those of click" in note for note in some["like"].notes)
    assert some["topic"] == run.evaluate(visits)["topic"]


def test_a_table_without_any_labels_is_refused(run: Run, visits: pa.Table) -> None:
    with pytest.raises(UserError, match="the tasks: the table lacks 7 columns"):
        run.evaluate(visits.select(["x"]))
