"""Times in a graph, by whole numbers alone: clocks of zones, units, and the calendar."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from polytask.errors import UserError
from polytask.serving.contract import MISSING_INTEGER
from polytask.serving.graph.values import Value, places_in

DAY = 86_400_000_000
"""Microseconds."""
_TO_MARCH = 719_468
"""Days from the first of March of the year 0 to 1970."""
_FACTORS: Mapping[str, int] = {"s": 1_000_000, "ms": 1000, "us": 1}
_YEARS = (1970, 2100)
"""Between these the offsets of a zone are known; before and after them stays the first or the last one."""


def on_the_clock_of(zone: str | None, ticks: Value) -> Value:
    """UTC -> what the clocks of a zone show, both in microseconds since 1970."""
    starts, offsets = _offsets(zone)
    if len(offsets) == 1:
        return ticks + int(offsets[0]) if offsets[0] else ticks
    return ticks + places_in(ticks, starts, right=True).entries_of(offsets, "int64")


def _offsets(name: str | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When a zone's clocks were changed, and how far from UTC they were before, between and after.

    Found day by day, and then by halving.
    """
    if name is None or name in ("UTC", "Etc/UTC", "Z"):
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    if name[0] in "+-":
        hours, _, minutes = name[1:].partition(":")
        offset = (int(hours) * 60 + int(minutes or 0)) * 60_000_000
        return np.zeros(0, np.int64), np.array([offset if name[0] == "+" else -offset])
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise UserError(f"the time zone {name!r}: {error}") from error

    def offset_at(second: int) -> int:
        found = datetime.fromtimestamp(second, tz=UTC).astimezone(zone).utcoffset() or timedelta()
        return int(found.total_seconds())

    first, last = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in _YEARS)
    starts, offsets = list[int](), [offset_at(first)]
    for day in range(first, last, 86_400):
        low, high = day, day + 86_400
        if offset_at(high) == offsets[-1]:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset_at(middle) == offsets[-1] else (low, middle)
        starts.append(high)
        offsets.append(offset_at(high))
    return np.array(starts) * 1_000_000, np.array(offsets) * 1_000_000


def in_microseconds(values: Value, unit: str | None) -> Value:
    """Whole numbers of a unit since 1970, or written like 20240229; of None they are microseconds."""
    if unit is None:
        return values
    if unit == "ns":
        return values // 1000
    if unit != "yyyymmdd":
        return values * _FACTORS[unit]
    # Of what was no date, such as 0, something is made that is one.
    date = values.within(101, None)
    return days_of(date // 10_000, date // 100 % 100, date % 100) * DAY


def known_times(raw: Value) -> tuple[Value, Value]:
    """Which times are there, and the times, 0 where they are not."""
    is_known = ~raw.equals(MISSING_INTEGER)
    return is_known, raw.where(is_known, 0)


def date_of(ticks: Value) -> tuple[Value, Value, Value]:
    """Year, month and day of microseconds since 1970; years from 0 on.

    The year begins in March, so that leap days are last: the usual arithmetic of the Gregorian calendar,
    eras of 400 years and 146,097 days.
    """
    days = (ticks // DAY + _TO_MARCH).within(0, None)
    era, day = days // 146_097, days % 146_097
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day = day - (year * 365 + year // 4 - year // 100)
    month = (day * 5 + 2) // 153
    day = day - (month * 153 + 2) // 5 + 1
    is_late = month >= 10
    month = (month - 9).where(is_late, month + 3)
    return year + era * 400 + is_late.cast("int64"), month, day


def days_of(year: Value, month: Value | int, day: Value | int) -> Value:
    """Days since 1970 of a date: undoes `date_of`."""
    if isinstance(month, int):
        month = year.full(month, "int64")
    year = year - (month <= 2).cast("int64")
    era, year = year // 400, year % 400
    of_year = ((month - 3).where(month > 2, month + 9) * 153 + 2) // 5 + day
    return era * 146_097 + year * 365 + year // 4 - year // 100 + of_year - (_TO_MARCH + 1)
