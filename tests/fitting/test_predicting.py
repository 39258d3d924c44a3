"""Predictions come as the rows came: frames with their index, ids beside them, one row, none."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest

from polytask import Run, fit
from polytask.errors import UserError

INPUTS = ["x", "user_id", "cat"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """300 rows with an index of their own, an item's code, a label and another one."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=300)
    return pd.DataFrame(
        {
            "x": x,
            "user_id": draw.integers(1, 30, 300),
            "cat": draw.choice(["a", "b", "c"], 300),
            "item": [f"{row:05d}" for row in range(300)],
            "click": (x + draw.normal(size=300) > 0).astype(int),
            "watch": np.exp(x),
        },
        index=pd.Index(range(1500, 1800), name="row"),
    )


@pytest.fixture(scope="module")
def run(frame: pd.DataFrame) -> Run:
    options = {"baseline": "none", "intervals": False, "epochs": 1, "threads": 1}
    return fit(frame, ["click", "watch"], ignore=["item"], allow=["x"], **options)


def test_pandas_in_gives_pandas_out_with_its_index(run: Run, frame: pd.DataFrame) -> None:
    shuffled = frame.sample(frac=1.0, random_state=0)
    scores = run.predict(shuffled)
    assert isinstance(scores, pd.DataFrame)
    assert scores.index.equals(shuffled.index)
    whole = run.predict(pa.Table.from_pandas(frame, preserve_index=False))
    assert isinstance(whole, pa.Table)
    assigned = frame.assign(p=scores["click"])
    assert assigned["p"].to_numpy() == pytest.approx(whole["click"].to_numpy())


def test_polars_in_gives_polars_out(run: Run, frame: pd.DataFrame) -> None:
    table = pl.DataFrame({name: frame[name].tolist() for name in INPUTS})
    scores = run.predict(table)
    assert isinstance(scores, pl.DataFrame)
    assert scores["watch"].to_list() == pytest.approx(run.predict(frame)["watch"].tolist())
    lazy = run.predict(table.lazy())
    assert isinstance(lazy, pl.LazyFrame) and lazy.collect().equals(scores)


def test_ids_are_kept_beside_the_scores(run: Run, frame: pd.DataFrame) -> None:
    scores = run.predict(frame, keep=["item", "user_id"])
    assert list(scores.columns) == ["item", "user_id", "click", "watch"]
    assert scores["item"].tolist() == frame["item"].tolist()
    assert scores["user_id"].tolist() == frame["user_id"].tolist()
    with pytest.raises(UserError, match="'click' is a column of the predictions too"):
        run.predict(frame, keep=["click"])
    with pytest.raises(
        UserError, match=r"keep: the table lacks a column: 'itm'.*did you mean 'item'"
    ):
        run.predict(frame, keep=["itm"])


def test_one_row_and_a_few_rows(run: Run, frame: pd.DataFrame) -> None:
    due = run.predict(frame)["click"].tolist()
    one = run.predict(frame.iloc[4])
    assert isinstance(one, pd.DataFrame) and one.index.tolist() == [1504]
    assert one["click"].tolist() == pytest.approx([due[4]], rel=1e-5)
    rows = frame[INPUTS].to_dict("records")
    assert run.predict(rows[4])["click"].to_pylist() == pytest.approx([due[4]], rel=1e-5)
    assert run.predict(rows[:3])["click"].to_pylist() == pytest.approx(due[:3], rel=1e-5)


def test_no_rows_give_no_predictions(run: Run, frame: pd.DataFrame, tmp_path: Path) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pyarrow.csv.write_csv(table.slice(0, 0), tmp_path / "none.csv")
    untyped = pd.DataFrame({name: [] for name in INPUTS})
    for none in (
        frame[:0],
        untyped,
        table.slice(0, 0),
        tmp_path / "none.csv",
        pl.DataFrame(untyped),
    ):
        scores = run.predict(none)
        assert len(scores) == 0
        assert list(getattr(scores, "column_names", getattr(scores, "columns", ()))) == [
            "click",
            "watch",
        ]


def test_threads_get_the_same_bits_from_a_model_with_dropout(frame: pd.DataFrame) -> None:
    dropped = fit(
        frame,
        ["click"],
        inputs=INPUTS,
        dropout=0.5,
        epochs=1,
        threads=1,
        baseline="none",
        intervals=False,
    )
    due = dropped.predict(frame)["click"].to_numpy()
    with ThreadPoolExecutor(8) as threads:
        found = [*threads.map(lambda _: dropped.predict(frame)["click"].to_numpy(), range(120))]
    assert sum(np.array_equal(each, due) for each in found) == 120
