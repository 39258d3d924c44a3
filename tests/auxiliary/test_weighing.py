"""Weights that move over training, and those that cannot be."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polytask.auxiliary import Schedule
from polytask.auxiliary.weighing import weight_of
from polytask.errors import UserError

SHARES = st.floats(0, 1)
SIZES = st.floats(0, 100)


@given(SIZES, SIZES, SHARES, SHARES, SHARES)
def test_a_schedule_is_a_line_between_two_levels(
    start: float, stop: float, one: float, other: float, progress: float
) -> None:
    begin, end = sorted((one, other))
    if end - begin < 1e-6:
        return
    found = Schedule(start, stop, begin, end).at(progress)
    expected = np.interp(progress, [begin, end], [start, stop])
    assert found == pytest.approx(expected, abs=1e-6)


def test_weights_are_read_as_they_are_asked_for() -> None:
    assert weight_of("a", 0.5) == 0.5 and weight_of("a", "balanced") == "balanced"
    assert weight_of("a", {"from": 1, "to": 0}) == Schedule(1.0, 0.0)


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (-0.1, "0 or more"),
        (math.nan, "0 or more"),
        ({"from": 0.1, "to": 0, "begin": 0.8, "end": 0.2}, "ends before it begins"),
        ({"from": 0.1, "to": 0, "begin": 0.5, "end": 0.5}, "ends before it begins"),
        ({"from": 0.1, "to": 0, "end": 3}, "shares of training"),
        ({"from": 0.1}, "from: 0.3, to: 0"),
        ({"from": 0.1, "to": 0, "until": 1}, "no 'until'"),
        ({"from": -1, "to": 0}, "weight from"),
    ],
)
def test_weights_that_cannot_be(weight: object, match: str) -> None:
    with pytest.raises(UserError, match=match):
        weight_of("replaced_values", weight)  # type: ignore[arg-type]
