"""Numbers as they are read, and what an interval is made to say."""

import pytest

from polytask.report.formatting import NO_BREAK, listing, metric_name, number, percent, seconds
from polytask.report.results import Row, Value, Verdict, result_rows


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.3261, "33 %"),
        (0.0236, "2.4 %"),
        (0.00012, "0.012 %"),
        (0.0105, "1.1 %"),
        (0.9995, "99.95 %"),
        (0.95, "95 %"),
        (0.999999, "99.9999 %"),
        (1.8, "180 %"),
        (1e-9, "0 %"),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text.replace(" ", NO_BREAK)


def test_percent_with_more_digits() -> None:
    assert percent(0.0105, digits=3) == f"1.05{NO_BREAK}%"
    assert percent(0.3261, digits=3) == f"32.6{NO_BREAK}%"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.7, "0.7000"), (-0.5, "\N{MINUS SIGN}0.5000"), (32.21, "32.21"), (12345.6, "12,346")],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


def test_small_and_signed_numbers() -> None:
    assert number(0.02, signed=True) == "+0.0200"
    assert number(0.00001) == "0.000010"
    assert number(0.0) == "0.0000"


def test_lists_times_and_names() -> None:
    assert [listing(x) for x in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        *("", "a", "a and b", "a, b and c")
    ]
    assert seconds(12.34) == "12.3 s" and seconds(135) == "2 min 15 s"
    assert seconds(7322) == "2 h 2 min"
    assert metric_name("conditional_auc") == "conditional AUC"
    assert metric_name("new_metric") == "new metric"


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        (Value(0.1, 0.01, 0.2), Verdict.BETTER),
        (Value(-0.1, -0.2, -0.01), Verdict.WORSE),
        (Value(0.1, -0.01, 0.2), Verdict.NONE),
        (Value(0.1, 0.0, 0.2), Verdict.NONE),
        (Value(0.1), Verdict.OPEN),
        (None, None),
    ],
)
def test_an_interval_that_covers_zero_says_no_difference(
    gain: Value | None, verdict: Verdict | None
) -> None:
    row = Row("click", "auc", True, Value(0.7), Value(0.6), gain)
    assert row.verdict is verdict


def test_a_slight_gain_is_told_as_such_and_with_enough_decimals() -> None:
    slight = Row("click", "auc", True, Value(0.7), Value(0.7), Value(-3e-5, -5.1e-5, -6.6e-6))
    assert slight.verdict is Verdict.WORSE and slight.is_slight
    assert slight.gain is not None
    assert number(slight.gain.value, decimals=slight.gain.decimals) == "\N{MINUS SIGN}0.000030"
    assert not Row("a", "mae", True, Value(9), Value(9), Value(1e-5, 1e-6, 2e-5)).is_slight
    assert not Row("a", "auc", True, Value(1), Value(1), Value(3e-4, 1e-4, 6e-4)).is_slight
    assert Value(0.7, 0.6, 0.8).decimals is None and Value(0.7).decimals is None


def test_nothing_is_told_of_a_run_without_metrics() -> None:
    assert result_rows(None) == ()
    assert Verdict.NONE.value == "no detectable difference"
