"""Numbers as they are read, and what an interval is made to say."""

import pytest

from polytask.records import Gain, MetricValue, TaskResult, TaskScores
from polytask.records.comparison import Row, Verdict, losing
from polytask.report.formatting import NO_BREAK, decimals, listing, number, percent, seconds


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


def test_lists_and_times() -> None:
    assert [listing(x) for x in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        *("", "a", "a and b", "a, b and c")
    ]
    assert seconds(12.34) == "12.3 s" and seconds(135) == "2 min 15 s"
    assert seconds(7322) == "2 h 2 min"


def row(gain: Gain | None, *, direction: str = "higher", name: str = "auc") -> Row:
    metric = MetricValue(name, 0.7, 0.6, 0.8, direction, name)
    return Row("click", True, metric, metric, gain)


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        (Gain("auc", 0.1, 0.01, 0.2), Verdict.BETTER),
        (Gain("auc", -0.1, -0.2, -0.01), Verdict.WORSE),
        (Gain("auc", 0.1, -0.01, 0.2), Verdict.NONE),
        (Gain("auc", 0.1, 0.0, 0.2), Verdict.NONE),
        (Gain("auc", 0.1), Verdict.OPEN),
        (None, None),
    ],
)
def test_an_interval_that_covers_zero_says_no_difference(
    gain: Gain | None, verdict: Verdict | None
) -> None:
    assert row(gain).verdict is verdict


def test_a_slight_gain_is_told_as_such_and_with_enough_decimals() -> None:
    slight = row(Gain("auc", -3e-5, -5.1e-5, -6.6e-6))
    assert slight.verdict is Verdict.WORSE and slight.is_slight
    assert number(-3e-5, decimals=decimals(-5.1e-5, -6.6e-6)) == "\N{MINUS SIGN}0.000030"
    assert not row(Gain("mae", 1e-5, 1e-6, 2e-5), direction="lower").is_slight
    assert not row(Gain("auc", 3e-4, 1e-4, 6e-4)).is_slight
    assert decimals(0.6, 0.8) is None and decimals(None, None) is None


def test_a_task_that_was_not_measured_has_no_rows() -> None:
    assert [*TaskResult(TaskScores()).rows("click")] == []


@pytest.mark.parametrize(
    ("gain", "is_losing"),
    [
        (Gain("auc", -0.1, -0.2, -0.01), True),
        (Gain("auc", -0.1, -0.2, 0.01), False),
        (Gain("auc", -0.0002, -0.0004, -0.0001), False),
        (Gain("auc", -0.1), False),
        (None, False),
    ],
)
def test_what_is_lost_by_sharing_is_more_than_chance_and_matters(
    gain: Gain | None, is_losing: bool
) -> None:
    assert losing([row(gain)]) == (["click"] if is_losing else [])
