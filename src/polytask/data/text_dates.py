"""Dates as people write them: 31.12.2024, 12/31/24 6:30 PM, 2024/1/31; in which order days and months stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.choices import DATE_ORDERS, DateOrder

_WRITTEN = (
    r"^\s*(?P<a>\d{4}|\d{1,2})(?P<sign>[./-])(?P<b>\d{1,2})(?P<again>[./-])(?P<c>\d{4}|\d{1,2})"
    r"(?:[T ,]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?"
    r"(?:\s*(?P<half>[AaPp])[Mm])?)?\s*$"
)
# Text of ISO 8601 is in its order already, and is read as times where times are due.
_ISO = r"^\s*\d{4}-\d{2}-\d{2}"
_IN_WORDS = {"dmy": "day first", "mdy": "month first", "ymd": "year first"}
_LAST_OF_THIS_CENTURY = 68
"""Of two digits: 68 is 2068 and 69 is 1969, as POSIX has it."""

Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ReadDates:
    """Different texts as times (microseconds without a zone; null for what is none), and how they were read."""

    values: pa.Array
    order: DateOrder
    how: str


def look_like_dates(texts: Sequence[str]) -> bool:
    """Whether some values of a column are all written as dates, and not as ISO 8601 has them.

    >>> look_like_dates(["31.12.2024", "1.1.2025"]), look_like_dates(["2024-12-31"]), look_like_dates([])
    (True, False, False)
    """
    array = pa.array(texts, pa.string())
    is_written = pc.match_substring_regex(array, _WRITTEN)
    is_iso = pc.match_substring_regex(array, _ISO)
    return len(array) > 0 and bool(pc.all(is_written).as_py()) and not pc.all(is_iso).as_py()


def read_dates(
    texts: pa.Array, missing_V: Flags, *, order: DateOrder | None = None
) -> ReadDates | None:
    """The dates that a column's different texts are; None unless all that are not missing are dates of one order.

    Where the values allow several orders, days come first between dots and dashes, months between
    slashes. With an `order`, as it was found or told before, whatever is no date of it is null.

    >>> found = read_dates(pa.array(["31.12.2024", "?"]), np.array([False, True]))
    >>> found.order, found.values.to_pylist()
    ('dmy', [datetime.datetime(2024, 12, 31, 0, 0), None])
    """
    fields = _Fields.of(texts)
    if order is not None:
        return ReadDates(fields.times(order), order, _IN_WORDS[order])
    possible = [each for each in DATE_ORDERS if (fields.are_dates(each) | missing_V).all()]
    if not possible or missing_V.all():
        return None
    usual: DateOrder = "mdy" if fields.has_slash_V[~missing_V].any() else "dmy"
    order = usual if usual in possible else possible[0]
    doubt = ", which the values do not tell: --dates says otherwise" if len(possible) > 1 else ""
    return ReadDates(fields.times(order), order, f"{_IN_WORDS[order]}{doubt}")


@dataclass(frozen=True, slots=True, eq=False)
class _Fields:
    """The parts of each text: three numbers and their digits, and microseconds of the day; -1 for what is no date."""

    numbers_V3: Whole
    digits_V3: Whole
    clock_V: Whole
    has_slash_V: Flags

    @classmethod
    def of(cls, texts: pa.Array) -> Self:
        found = pc.extract_regex(texts.cast(pa.string()), _WRITTEN)
        parts = dict(zip((field.name for field in found.type), found.flatten()))
        is_one_V = pc.equal(parts["sign"], parts["again"]).fill_null(False).to_numpy(False)
        dates = [parts[name] for name in "abc"]
        numbers_V3 = np.stack([_whole(part) for part in dates], axis=1)
        numbers_V3[~is_one_V] = -1
        digits_V3 = np.stack([_lengths(part) for part in dates], axis=1)
        has_slash_V = pc.equal(parts["sign"], "/").fill_null(False).to_numpy(False)
        return cls(numbers_V3, digits_V3, _clock(parts), has_slash_V)

    def are_dates(self, order: DateOrder) -> Flags:
        return ~np.isnat(self._days(order)) & (self.clock_V >= 0)

    def times(self, order: DateOrder) -> pa.Array:
        ticks_V = self._days(order).astype("datetime64[us]") + self.clock_V.astype(
            "timedelta64[us]"
        )
        return pa.array(ticks_V, pa.timestamp("us"), mask=~self.are_dates(order))

    def _days(self, order: DateOrder) -> NDArray[np.datetime64]:
        """Each date; not a time where there is none, such as the 31st of April."""
        places = {sign: place for place, sign in enumerate(order)}
        day_V, month_V, year_V = (self.numbers_V3[:, places[sign]] for sign in "dmy")
        digits_V = self.digits_V3[:, places["y"]]
        short_V = (digits_V == 2) & (self.digits_V3 == 2).all(axis=1) & (order != "ymd")
        century_V = np.where(year_V <= _LAST_OF_THIS_CENTURY, 2000, 1900)
        year_V = np.where(short_V, century_V + year_V, year_V)
        known_V = ((digits_V == 4) | short_V) & (month_V >= 1) & (month_V <= 12) & (day_V >= 1)
        months_V = np.where(known_V, (year_V - 1970) * 12 + month_V - 1, 0).astype("datetime64[M]")
        days_V = months_V.astype("datetime64[D]") + np.where(known_V, day_V - 1, 0)
        is_real_V = known_V & (days_V.astype("datetime64[M]") == months_V)
        return np.where(is_real_V, days_V, np.datetime64("NaT", "D"))


def _clock(parts: dict[str, pa.Array]) -> Whole:
    """Microseconds since midnight, 0 without a time of day; -1 where it is none."""
    hour_V, minute_V, second_V = (_whole(parts[name], 0) for name in ("hour", "minute", "second"))
    half = pc.utf8_lower(parts["half"]).fill_null("")
    is_half_V = pc.not_equal(half, "").to_numpy(False)
    is_late_V = pc.equal(half, "p").to_numpy(False)
    right_V = (minute_V < 60) & (second_V < 60)
    right_V &= np.where(is_half_V, (hour_V >= 1) & (hour_V <= 12), hour_V < 24)
    hour_V = np.where(is_half_V, hour_V % 12 + 12 * is_late_V, hour_V)
    return np.where(right_V, ((hour_V * 60 + minute_V) * 60 + second_V) * 1_000_000, -1)


def _whole(texts: pa.Array, absent: int = -1) -> Whole:
    present = pc.if_else(pc.equal(pc.utf8_length(texts), 0), None, texts)
    return np.asarray(present.cast(pa.int64()).fill_null(absent).to_numpy(False))


def _lengths(texts: pa.Array) -> Whole:
    return np.asarray(pc.utf8_length(texts).fill_null(0).to_numpy(False)).astype(np.int64)
