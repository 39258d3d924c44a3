"""Dates as people write them are read in the one order that a column's values allow."""

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import polytask
from polytask.choices import DATE_ORDERS, DateOrder
from polytask.data.notes import date_orders_of, notes_of
from polytask.data.options import ReadOptions
from polytask.data.readers import read_table
from polytask.data.text_dates import look_like_dates, read_dates
from polytask.errors import UserError

moments = st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)).map(
    lambda moment: moment.replace(microsecond=0)
)


def written(moment: datetime, order: DateOrder, sign: str, clock: str = "") -> str:
    parts = {"d": "%d", "m": "%m", "y": "%Y"}
    return moment.strftime(sign.join(parts[each] for each in order) + clock)


def times(texts: list[str], order: DateOrder | None = None) -> list[datetime | None]:
    found = read_dates(pa.array(texts), np.zeros(len(texts), bool), order=order)
    assert found is not None
    return found.values.to_pylist()


@given(
    st.lists(moments, min_size=1),
    st.sampled_from(DATE_ORDERS),
    st.sampled_from([".", "/", "-"]),
    st.sampled_from(["", " %H:%M", " %H:%M:%S", "T%H:%M:%S", ", %I:%M:%S %p"]),
)
def test_what_is_written_is_read(
    found: list[datetime], order: DateOrder, sign: str, clock: str
) -> None:
    """By the order that it was written in; a day above 12 tells it by itself."""
    texts = [written(each, order, sign, clock) for each in found]
    kept = {"": timedelta(days=1), " %H:%M": timedelta(minutes=1)}.get(clock, timedelta(seconds=1))
    floor = [datetime.min + (each - datetime.min) // kept * kept for each in found]
    assert times(texts, order) == floor
    if any(each.day > 12 for each in found):
        assert times(texts) == floor


@pytest.mark.parametrize(
    ("texts", "order", "how"),
    [
        (["31.12.2024", "01.02.2025"], "dmy", "day first"),
        (["01/31/2024", "02/01/2025"], "mdy", "month first"),
        (["2024/1/31", "2024/12/1"], "ymd", "year first"),
        (["13/01/2024", "02/01/2025"], "dmy", "day first"),
        (["01.02.2024", "03.02.2024"], "dmy", "day first, which the values do not tell"),
        (["01/02/2024", "03/02/2024"], "mdy", "month first, which the values do not tell"),
        (["31.12.24", "01.02.69"], "dmy", "day first"),
    ],
)
def test_the_order_is_the_one_that_the_values_allow(
    texts: list[str], order: DateOrder, how: str
) -> None:
    found = read_dates(pa.array(texts), np.zeros(len(texts), bool))
    assert found is not None and found.order == order
    assert found.how.startswith(how) and ("do not tell" in how) == ("do not tell" in found.how)


def test_two_digits_are_years_of_1969_to_2068() -> None:
    assert times(["31.12.68", "31.12.69"]) == [datetime(2068, 12, 31), datetime(1969, 12, 31)]


def test_noon_and_midnight_of_twelve_hours() -> None:
    texts = ["1/31/2024 12:05 AM", "1/31/2024 12:05 PM", "1/31/2024 1:05 pm"]
    assert [each.hour for each in times(texts) if each is not None] == [0, 12, 13]


@pytest.mark.parametrize(
    "texts",
    [
        ["31.04.2024"],
        ["29.02.2023"],
        ["13/13/2024"],
        ["31.12.2024", "12/31/2024"],
        ["31.12.2024 25:00"],
        ["31.12.2024 13:00 PM"],
        ["1.2.34"],
        ["31.12/2024"],
        ["31.12.2024", "soon"],
    ],
)
def test_what_is_no_date_or_of_two_orders_is_not_read(texts: list[str]) -> None:
    assert read_dates(pa.array(texts), np.zeros(len(texts), bool)) is None


def test_iso_text_stays_as_it_is() -> None:
    assert not look_like_dates(["2024-12-31", "2025-01-01T10:00"])
    assert read_table({"when": ["2024-12-31", "2025-01-01"]})["when"].to_pylist()[0] == "2024-12-31"


def test_a_column_says_how_it_was_read_and_keeps_words_for_missing() -> None:
    table = read_table({"when": ["31.12.2024", "?", None, "01.01.2025"]})
    assert table["when"].to_pylist() == [datetime(2024, 12, 31), None, None, datetime(2025, 1, 1)]
    assert date_orders_of(table) == {"when": "dmy"}
    assert "text read as dates, day first" in notes_of(table)[0]
    assert "'?' missing in 1 row" in notes_of(table)[0]


def test_many_rows_are_read_as_few_are() -> None:
    """Large tables take another path, of Arrow's operators."""
    texts = [f"{1 + day % 28:02}.{1 + day % 12:02}.2024" for day in range(3000)]
    assert read_table({"when": texts})["when"][:500].equals(
        read_table({"when": texts[:500]})["when"]
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("when", ReadOptions(text=("when",))),
        ("when", ReadOptions(codes=("when",))),
        ("version_id", ReadOptions()),
        ("when", ReadOptions(finds_dates=False)),
    ],
)
def test_text_stays_text_where_it_is_asked_for_or_is_a_code(
    name: str, options: ReadOptions
) -> None:
    table = read_table({name: ["31.12.2024", "01.01.2025"]}, options=options)
    assert table[name].to_pylist() == ["31.12.2024", "01.01.2025"]


def test_an_order_that_was_told_is_kept_for_every_row() -> None:
    options = ReadOptions(dates={"when": "dmy"}, finds_dates=False)
    table = read_table({"when": ["02/01/2024", "02/13/2024"]}, options=options)
    assert table["when"].to_pylist() == [datetime(2024, 1, 2), None]
    assert "'02/13/2024' missing in 1 row" in notes_of(table)[0]


def log(num_rows: int = 400) -> pa.Table:
    """More is bought late in the year; dates are written month first."""
    random = np.random.default_rng(0)
    days = random.integers(0, 365, num_rows)
    is_bought = (days > 180) ^ (random.random(num_rows) < 0.2)
    dates = [datetime(2024, 1, 1) + timedelta(days=int(day)) for day in days]
    texts = [each.strftime("%m/%d/%Y") for each in dates]
    return pa.table({"date": texts, "bought": is_bought.astype(int), "x": days % 7})


def test_a_run_reads_later_tables_as_it_read_its_own(tmp_path: Path) -> None:
    """Two rows alone would be read day first, or not tell; so would a test table of its own."""
    test = pa.table({"date": ["03/04/2024", "05/06/2024"], "bought": [0, 1], "x": [1, 2]})
    run = polytask.fit(
        log(), ["bought"], test=test, epochs=1, baseline="none", intervals=False, threads=1
    )
    assert run.config.dates == {"date": "mdy"} and "date" in run.inputs.by_name["time"].columns
    later = pa.table({"date": ["12/01/2024", "01/12/2024"], "x": [1, 1]})
    same = pa.table({"date": [datetime(2024, 12, 1), datetime(2024, 1, 12)], "x": [1, 1]})
    assert run.predict(later).equals(run.predict(same))
    run.save(tmp_path / "run")
    assert polytask.load(tmp_path / "run").predict(later).equals(run.predict(same))


def test_a_run_that_goes_on_reads_as_the_one_before(tmp_path: Path) -> None:
    """Its own rows, of dots, would be read day first."""
    quick = {"epochs": 1, "baseline": "none", "intervals": False, "threads": 1}
    fit = partial(polytask.fit, tasks=["bought"], **quick)
    fit(log(), out=tmp_path / "first")
    texts = [text[:3] + "01/2024" for text in log()["date"].to_pylist()]
    more = log().set_column(0, "date", pa.array([text.replace("/", ".") for text in texts]))
    run = fit(more, init_from=tmp_path / "first", grow=True)
    assert run.config.dates == {"date": "mdy"}


def test_rows_are_parted_by_dates_not_by_their_text() -> None:
    """As text, 12/... of any year comes last."""
    run = polytask.fit(
        log(),
        ["bought"],
        time_column="date",
        test_from="2024-11-01",
        epochs=1,
        baseline="none",
        intervals=False,
        threads=1,
    )
    late = sum(text[:2] in ("11", "12") for text in log()["date"].to_pylist())
    assert run.metrics.data.rows["test"] == late


@pytest.mark.parametrize(
    ("dates", "words"),
    [("date=dym", "'dmy', 'mdy' or 'ymd'"), ("day=dmy", "lacks a column: 'day'")],
)
def test_orders_that_are_none_and_columns_that_are_not_there_are_told(
    dates: str, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        polytask.fit(log(), ["bought"], dates=dates, epochs=1)
