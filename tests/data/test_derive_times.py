"""Hours, weekdays, dates and spans: Python's datetime is the reference."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from polytask.data.derive import parse_derivation
from polytask.errors import UserError

TOKYO, JOHNS = ZoneInfo("Asia/Tokyo"), ZoneInfo("America/St_Johns")
INSTANTS = [
    datetime(2022, 3, 13, 4, 59, 59, tzinfo=UTC),
    datetime(2024, 2, 29, 23, 30, tzinfo=UTC),
    datetime(1969, 12, 31, 22, 0, 0, tzinfo=UTC),
    datetime(2030, 1, 1, tzinfo=UTC),
]
PARTS = {
    "year": lambda t: t.year,
    "month": lambda t: t.month,
    "day": lambda t: t.day,
    "weekday": lambda t: t.weekday(),
    "hour": lambda t: t.hour,
    "minute": lambda t: t.minute,
    "date": lambda t: t.date(),
}


def derived(table: pa.Table, formula: str) -> list[object]:
    values: list[object] = (
        parse_derivation(f"result = {formula}").apply(table)["result"].to_pylist()
    )
    return values


def _milliseconds(instants: list[datetime]) -> list[int]:
    return [
        int((t - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1)) for t in instants
    ]


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_times(part: str) -> None:
    expected = PARTS[part]
    table = pa.table(
        {
            "naive": pa.array([t.replace(tzinfo=None) for t in INSTANTS], pa.timestamp("us")),
            "utc": pa.array(INSTANTS, pa.timestamp("ms", "UTC")),
            "tokyo": pa.array(INSTANTS, pa.timestamp("ns", "Asia/Tokyo")),
            "text": [t.strftime("%Y-%m-%d %H:%M:%S") for t in INSTANTS],
            "time_ms": _milliseconds(INSTANTS),
            "seconds": [ms / 1000 for ms in _milliseconds(INSTANTS)],
        }
    )
    plain = [expected(t) for t in INSTANTS]
    for formula in ("naive", "utc", "text", "time_ms, 'ms'", "seconds, 's'"):
        assert derived(table, f"{part}({formula})") == plain, formula
    there = [expected(t.astimezone(TOKYO)) for t in INSTANTS]
    for formula in ("tokyo", "utc, 'Asia/Tokyo'", "time_ms, 'ms', 'Asia/Tokyo'"):
        assert derived(table, f"{part}({formula})") == there, formula
    half = [expected(t.astimezone(JOHNS)) for t in INSTANTS]
    assert derived(table, f"{part}(tokyo, 'America/St_Johns')") == half


def test_dates_and_missing_times() -> None:
    table = pa.table({"d": [date(2022, 4, 1), None], "n": pa.array([None, None], pa.int64())})
    assert derived(table, "weekday(d)") == [4, None]
    assert derived(table, "hour(d)") == [0, None]
    assert derived(table, "date(n, 's')") == [None, None]
    assert derived(table, "date(d) >= '2022-04-01'") == [True, None]


def test_spans() -> None:
    table = pa.table(
        {
            "when": pa.array(
                [datetime(2022, 4, 2, 12, tzinfo=UTC), None], pa.timestamp("us", "UTC")
            ),
            "before": pa.array([datetime(2022, 4, 1), datetime(2022, 4, 1)]),
            "ms": [86_400_000, 0],
            "zero": [0, 0],
        }
    )
    assert derived(table, "days_since(when, '2022-04-01')") == [1.5, None]
    assert derived(table, "days_since(when, before)") == [1.5, None]
    assert derived(table, "days_since(before, when)") == [-1.5, None]
    assert derived(table, "days_since(ms, zero, 'ms')") == [1.0, 0.0]
    tokyo = table.set_column(0, "when", table["when"].cast(pa.timestamp("us", "Asia/Tokyo")))
    assert derived(tokyo, "days_since(when, '2022-04-02 21:00')") == [0.0, None]


def test_age_counts_birthdays() -> None:
    table = pa.table(
        {
            "now": [date(2022, 4, 1), date(2022, 4, 1), date(2022, 4, 1), date(2023, 2, 28)],
            "born": [date(2000, 4, 1), date(2000, 4, 2), date(1999, 12, 31), date(2000, 2, 29)],
        }
    )
    assert derived(table, "age(now, born)") == [22, 21, 22, 22]
    assert derived(table, "age('2022-04-01', born)") == [22, 21, 22, 22]


WRONG = [
    ("hour(n)", "of a time that is a number say the unit, such as hour\\(time_ms, 'ms'\\)"),
    ("hour(t, 'ms')", "the unit 'ms' is for times that are numbers"),
    ("hour(t, 'Asia/Tokyo')", "a time without a zone cannot be moved to Asia/Tokyo"),
    ("hour(n, 's', 'Asia/Tokio')", "Asia/Tokio"),
    ("hour(n, 's', 'ms')", "a unit .* and a zone, each once"),
    ("hour(word)", "the text is none such as 2022-04-01 18:30"),
    ("hour(flag)", "takes a time, but here is bool"),
    ("hour(t, n)", "hour takes a time, and perhaps a unit or a zone"),
    ("hour()", "hour takes a time"),
    ("age(t)", "age takes two times"),
    ("hours(t)", "unknown function 'hours' - did you mean 'hour'"),
]


@pytest.mark.parametrize(("formula", "words"), WRONG)
def test_what_is_no_time_is_refused(formula: str, words: str) -> None:
    table = pa.table(
        {"n": [1, 2], "t": [datetime(2022, 4, 1)] * 2, "word": ["a", "b"], "flag": [True, False]}
    )
    with pytest.raises(UserError, match=words):
        derived(table, formula)
