"""Infers what a column is to a model, each time with the number that it rests on."""

import re
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.columns.values import is_number, is_text
from polytask.data.column_statistics import ColumnStatistics
from polytask.data.names import is_code, words_of
from polytask.errors import flag

ColumnKind = str
"""The name of the input that reads a column, such as "numeric", or "ignored"."""
Inference = tuple[ColumnKind, str]

FEW = 20
"""Whole numbers with at most so many different values are categories."""
FEW_ON_A_DIAL = 32
"""The same for hours, weekdays, months and days, where 23 stands beside 0."""
NEARLY_ONE_A_ROW = 0.95
ONE_A_ROW = "nearly one value a row"
FREE_TEXT_SHARE = 0.5
FREE_TEXT_WORDS = 3.0
LARGEST_EXACT_FLOAT = 2**53

_DIAL_WORDS = frozenset({"hour", "hours", "weekday", "dayofweek", "dow", "month", "day"})
_PANDAS_INDEX = re.compile(r"(|Unnamed: \d+|__index_level_\d+__)$")
_DATE_TEXT = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}([T ]\d{1,2}:\d{2}.*)?$"
_ISO_TEXT = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[-+]\d{2}:?\d{2})?)?$"
_NUMBER_TEXT = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
_TIME_WORDS = {
    *("time", "timestamp", "ts", "date", "datetime", "dt", "day", "epoch", "created", "updated"),
    *("at"),
}
_CLOCK_WORDS = frozenset({"hourmin", "hhmm", "hm", "clock", "time"})
_UNITS = ((1, "seconds"), (10**3, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds"))
_EARLIEST = int(datetime(1990, 1, 1, tzinfo=UTC).timestamp())
_LATEST = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())
_PICTURE_HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"RIFF")
_PICTURE_PATH = r"(?i)\.(jpe?g|png|gif|bmp|webp|tiff?)$"
_LONGEST_HEAD = 8
_HEADS_LOOKED_AT = 100
_NEARLY_ALL = 0.95
_NARROW = 0.1
"""Times of one log differ by little of their count since 1970, and a log is in their order."""


def infer_column(statistics: ColumnStatistics, *, asked: bool = False) -> Inference:
    """An input's name or "ignored", and why. `asked`: the user named it among the inputs."""
    if statistics.num_distinct == 0:
        return "ignored", "no value in any row"
    if (asked or not statistics.is_constant) and _holds_times(statistics):
        first = statistics.values[0].as_py()
        return "time", f"times ({statistics.value_type}), such as {first}"
    if _holds_pictures(statistics):
        return "image", "the bytes of picture files"
    reason = None if asked else _reason_to_ignore(statistics)
    if reason is not None:
        return "ignored", reason
    if pa.types.is_boolean(statistics.value_type):
        return "categorical", "true or false"
    if is_text(statistics.value_type):
        return "categorical", f"text, {_different(statistics)}{_number_hint(statistics)}"
    if is_number(statistics.value_type):
        return _infer_number(statistics)
    return "ignored", f"{statistics.type} is neither a number nor text"


def is_type_of_pictures(dtype: pa.DataType) -> bool:
    """Whether a column's values are arrays (H, W) or (H, W, C) of bytes, all of one size, or have a
    picture's bytes and path side by side, as the image columns of Hugging Face's data sets do."""
    if pa.types.is_struct(dtype):
        return {field.name for field in dtype} == {"bytes", "path"}
    depth = 0
    while pa.types.is_fixed_size_list(dtype):
        dtype, depth = dtype.value_type, depth + 1
    return depth in (2, 3) and bool(pa.types.is_uint8(dtype))


def holds_numbers_as_text(statistics: ColumnStatistics) -> bool:
    """Whether every value is a number written as text."""
    if not is_text(statistics.value_type):
        return False
    return bool(pc.all(are_numbers(statistics.values)).as_py())


def are_numbers(texts: pa.Array) -> pa.Array:
    """Which texts are plain numbers."""
    return pc.match_substring_regex(texts, _NUMBER_TEXT)


def _holds_times(statistics: ColumnStatistics) -> bool:
    """Arrow's types of times, and text that is ISO 8601 throughout."""
    if not is_text(statistics.value_type):
        return bool(pa.types.is_temporal(statistics.value_type))
    return bool(pc.all(pc.match_substring_regex(statistics.values, _ISO_TEXT)).as_py())


def _holds_pictures(statistics: ColumnStatistics) -> bool:
    """Bytes that begin as JPEG, PNG, GIF, BMP or WebP files do."""
    kind = statistics.value_type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return False
    heads = [value.as_py()[:_LONGEST_HEAD] for value in statistics.values[:_HEADS_LOOKED_AT]]
    return all(head.startswith(_PICTURE_HEADS) for head in heads)


def _reason_to_ignore(statistics: ColumnStatistics) -> str | None:
    if statistics.is_constant:
        return f"the same value in every row: {statistics.values[0].as_py()!r}"
    if _PANDAS_INDEX.match(statistics.name):
        return "looks like a saved pandas index"
    if is_text(statistics.value_type):
        return _text_to_ignore(statistics)
    if statistics.is_whole:
        return _numbers_to_ignore(statistics)
    return None


def _text_to_ignore(statistics: ColumnStatistics) -> str | None:
    looked_at = statistics.values[:_HEADS_LOOKED_AT]
    if pc.all(pc.match_substring_regex(looked_at, _PICTURE_PATH)).as_py():
        return f"paths of pictures: {flag('columns', f'image={statistics.name}')} reads them"
    if statistics.num_distinct > FEW and _uniqueness(statistics) >= FREE_TEXT_SHARE:
        words = float(pc.mean(pc.count_substring_regex(statistics.values, r"\S+")).as_py())
        if words >= FREE_TEXT_WORDS:
            read = flag("columns", f"text={statistics.name}")
            counted = f"{_different(statistics)}, of {words:.0f} words on average"
            return f"free text: {counted}; {read} reads it"
    if statistics.num_distinct > FEW and _is_one_a_row(statistics):
        return _one_a_row(statistics)
    if pc.all(pc.match_substring_regex(statistics.values, _DATE_TEXT)).as_py():
        read = flag("dates", f"{statistics.name}=ymd")
        return f"dates as text, such as {statistics.values[0].as_py()!r}: {read} reads them"
    return None


def _numbers_to_ignore(statistics: ColumnStatistics) -> str | None:
    if statistics.num_distinct > FEW and is_code(statistics.name) and _is_one_a_row(statistics):
        return _one_a_row(statistics)
    if statistics.low is not None and statistics.high is not None:
        span = statistics.high - statistics.low + 1
        if statistics.num_rows > FEW and span == statistics.num_rows and _is_one_a_row(statistics):
            return f"counts the rows: {statistics.low:,} to {statistics.high:,}"
    return None if is_code(statistics.name) else _timestamp_reason(statistics)


def _infer_number(statistics: ColumnStatistics) -> Inference:
    if statistics.is_declared:
        return "categorical", f"the table declares categories, {_different(statistics)}"
    if not statistics.is_whole:
        return "numeric", "decimal numbers"
    if is_code(statistics.name):
        return "categorical", f"the name says a code, {_different(statistics)}"
    few = FEW if _DIAL_WORDS.isdisjoint(words_of(statistics.name)) else FEW_ON_A_DIAL
    if statistics.num_distinct <= few and statistics.num_counted >= 2 * statistics.num_distinct:
        return "categorical", f"whole numbers, only {_different(statistics)}"
    if statistics.high is not None and statistics.high > LARGEST_EXACT_FLOAT:
        return "categorical", f"whole numbers as long as ids, {_different(statistics)}"
    return "numeric", f"whole numbers, {_different(statistics)}"


def _uniqueness(statistics: ColumnStatistics) -> float:
    return statistics.num_distinct / max(statistics.num_counted, 1)


def _is_one_a_row(statistics: ColumnStatistics) -> bool:
    return _uniqueness(statistics) >= NEARLY_ONE_A_ROW


def _one_a_row(statistics: ColumnStatistics) -> str:
    return f"{ONE_A_ROW}: {_different(statistics)} in {statistics.num_counted:,} rows"


def _different(statistics: ColumnStatistics) -> str:
    different = f"{statistics.num_distinct:,} different"
    is_sample = statistics.num_sampled < statistics.num_rows
    return f"{different} in a sample of {statistics.num_sampled:,}" if is_sample else different


def _number_hint(statistics: ColumnStatistics) -> str:
    """Text that is numbers throughout, and many, was perhaps meant as quantities."""
    is_many = statistics.num_distinct > FEW and not is_code(statistics.name)
    if is_many and holds_numbers_as_text(statistics):
        return "; every one is a number: if these are quantities, ask for numeric"
    return ""


def _timestamp_reason(statistics: ColumnStatistics) -> str | None:
    """Why the whole numbers of a column are times, or None."""
    numbers = statistics.values.to_numpy(zero_copy_only=False)
    words = set(words_of(statistics.name))
    named = not _TIME_WORDS.isdisjoint(words)
    return (
        _calendar_days(statistics, numbers, named)
        or _epochs(statistics, numbers, named)
        or _clock_times(statistics, numbers, words)
    )


def _calendar_days(
    statistics: ColumnStatistics, numbers: NDArray[np.generic], named: bool
) -> str | None:
    """20220425 for the 25th of April 2022."""
    days = _whole(numbers)
    year, month, day = days // 10000, days // 100 % 100, days % 100
    valid = (year >= 1900) & (year < 2200) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    share = statistics.share(valid)
    if share >= _NEARLY_ALL if named else (share == 1 and statistics.num_distinct >= 3):
        return f"a date as a number, {days[valid].min()} to {days[valid].max()}"
    return None


def _whole(numbers: NDArray[np.generic]) -> NDArray[np.int64]:
    """-1, which is no date and no time of day, for what 64 bits do not hold."""
    if numbers.dtype.kind == "f":
        numbers = np.where(np.abs(numbers.astype(np.float64)) < 2.0**63, numbers, -1)
    return numbers.astype(np.int64)


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
    statistics: ColumnStatistics, numbers: NDArray[np.generic], words: set[str]
) -> str | None:
    """1830 for half past six."""
    if not (words & _CLOCK_WORDS or {"hour", "min"} <= words):
        return None
    clock = _whole(numbers)
    valid = (clock >= 0) & (clock < 2400) & (clock % 100 < 60)
    if valid.all() and clock.max() >= 100 and statistics.num_distinct >= 10:
        return f"hours and minutes as a number, {clock.min()} to {clock.max()}"
    return None
