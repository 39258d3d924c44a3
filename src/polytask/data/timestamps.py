"""Recognises dates and clock times that are stored as whole numbers."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from polytask.data.column_statistics import ColumnStatistics

_TIME_WORDS = {
    *("time", "timestamp", "ts", "date", "datetime", "dt", "day", "epoch", "created", "updated"),
    *("at"),
}
_CLOCK_WORDS = frozenset({"hourmin", "hhmm", "hm", "clock", "time"})
_UNITS = ((1, "seconds"), (10**3, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds"))
_EARLIEST = int(datetime(1990, 1, 1, tzinfo=UTC).timestamp())
_LATEST = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())
_NEARLY_ALL = 0.95
_NARROW = 0.1
"""Times of one log differ by little of their count since 1970, and a log is in their order."""


def timestamp_reason(statistics: ColumnStatistics, words: frozenset[str]) -> str | None:
    """Why the whole numbers of a column are times, or None; `words` are those of its name."""
    numbers = statistics.values.to_numpy(zero_copy_only=False)
    named = bool(words & _TIME_WORDS)
    return (
        _calendar_days(statistics, numbers, named)
        or _epochs(statistics, numbers, named)
        or _clock_times(statistics, numbers, words)
    )


def _calendar_days(
    statistics: ColumnStatistics, numbers: NDArray[np.generic], named: bool
) -> str | None:
    """20220425 for the 25th of April 2022."""
    days = numbers.astype(np.int64)
    year, month, day = days // 10000, days // 100 % 100, days % 100
    valid = (year >= 1900) & (year < 2200) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    share = statistics.share(valid)
    if share >= _NEARLY_ALL if named else (share == 1 and statistics.num_distinct >= 3):
        return f"a date as a number, {days[valid].min()} to {days[valid].max()}"
    return None


def _epochs(statistics: ColumnStatistics, numbers: NDArray[np.generic], named: bool) -> str | None:
    """Counted since 1970: by name and range, or by range where the rows are in its order."""
    ticks = numbers.astype(np.float64)
    for factor, unit in _UNITS:
        valid = (ticks >= _EARLIEST * factor) & (ticks < _LATEST * factor)
        if statistics.share(valid) < _NEARLY_ALL:
            continue
        first, last = ticks[valid].min(), ticks[valid].max()
        is_log = factor > 1 and valid.all() and statistics.is_ordered
        if named or (is_log and (last - first) / last < _NARROW):
            days = (str(datetime.fromtimestamp(t / factor, UTC).date()) for t in (first, last))
            return f"a time in {unit} since 1970, {' to '.join(days)}"
    return None


def _clock_times(
    statistics: ColumnStatistics, numbers: NDArray[np.generic], words: frozenset[str]
) -> str | None:
    """1830 for half past six."""
    if not (words & _CLOCK_WORDS or {"hour", "min"} <= words):
        return None
    clock = numbers.astype(np.int64)
    valid = (clock >= 0) & (clock < 2400) & (clock % 100 < 60)
    if valid.all() and clock.max() >= 100 and statistics.num_distinct >= 10:
        return f"hours and minutes as a number, {clock.min()} to {clock.max()}"
    return None
