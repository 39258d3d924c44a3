"""Times in a graph: clocks of zones, units, and the calendar, by whole numbers alone."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import torch
from torch import Tensor, nn

from polytask.errors import UserError
from polytask.serving.contract import MISSING_INTEGER
from polytask.serving.graph.searching import places_in

DAY = 86_400_000_000
"""Microseconds."""
_TO_MARCH = 719_468
"""Days from the first of March of the year 0 to 1970."""
_FACTORS: Mapping[str, int] = {"s": 1_000_000, "ms": 1000, "us": 1}
_YEARS = (1970, 2100)
"""Between these the offsets of a zone are known; before and after them stays the first or the last one."""


class Zone(nn.Module):
    """UTC -> what the clocks of a zone show, both in microseconds since 1970."""

    def __init__(self, name: str | None) -> None:
        super().__init__()
        starts, offsets = _offsets(name)
        self.starts_K: Tensor
        self.offsets_K: Tensor
        self.register_buffer("starts_K", torch.tensor(starts, dtype=torch.int64))
        self.register_buffer("offsets_K", torch.tensor(offsets, dtype=torch.int64))

    def forward(self, ticks_B: Tensor) -> Tensor:
        if len(self.starts_K) == 1:
            return ticks_B + self.offsets_K[0]
        places_B = places_in(self.starts_K[1:], ticks_B, right=True)
        return ticks_B + self.offsets_K[places_B]


def _offsets(name: str | None) -> tuple[list[int], list[int]]:
    """From when on a zone's clocks are how far from UTC, found day by day and then by halving."""
    if name is None or name in ("UTC", "Etc/UTC", "Z"):
        return [MISSING_INTEGER], [0]
    if name[0] in "+-":
        hours, _, minutes = name[1:].partition(":")
        offset = (int(hours) * 60 + int(minutes or 0)) * 60_000_000
        return [MISSING_INTEGER], [offset if name[0] == "+" else -offset]
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise UserError(f"the time zone {name!r}: {error}") from error

    def offset_at(second: int) -> int:
        found = datetime.fromtimestamp(second, tz=UTC).astimezone(zone).utcoffset() or timedelta()
        return int(found.total_seconds())

    first, last = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in _YEARS)
    starts, offsets = [MISSING_INTEGER], [offset_at(first)]
    for day in range(first, last, 86_400):
        end = day + 86_400
        if offset_at(end) != offsets[-1]:
            low, high = day, end
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset_at(middle) == offsets[-1] else (low, middle)
            starts.append(high * 1_000_000)
            offsets.append(offset_at(end))
    return starts, [offset * 1_000_000 for offset in offsets]


def in_microseconds(values_B: Tensor, unit: str | None) -> Tensor:
    """Whole numbers of a unit since 1970, or written like 20240229; of None they are microseconds."""
    if unit is None:
        return values_B
    if unit == "ns":
        return torch.div(values_B, 1000, rounding_mode="floor")
    if unit != "yyyymmdd":
        return values_B * _FACTORS[unit]
    # Of what was no date, such as 0, something is made that is one.
    date_B = values_B.clamp(101)
    year_B, month_B, day_B = date_B // 10_000, date_B // 100 % 100, date_B % 100
    return days_of(year_B, month_B, day_B) * DAY


def days_since_1970(ticks_B: Tensor) -> Tensor:
    """Whole days of microseconds."""
    return torch.div(ticks_B - ticks_B % DAY, DAY, rounding_mode="trunc")


def date_of(ticks_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Year, month and day of microseconds since 1970; years from 0 on.

    The year begins in March, so that leap days are last: the usual arithmetic of the Gregorian calendar,
    eras of 400 years and 146,097 days.
    """
    days_B = (days_since_1970(ticks_B) + _TO_MARCH).clamp(0)
    era_B, day_B = days_B // 146_097, days_B % 146_097
    year_B = (day_B - day_B // 1460 + day_B // 36_524 - day_B // 146_096) // 365
    day_B = day_B - (365 * year_B + year_B // 4 - year_B // 100)
    month_B = (5 * day_B + 2) // 153
    day_B = day_B - (153 * month_B + 2) // 5 + 1
    is_late_B = month_B >= 10
    month_B = torch.where(is_late_B, month_B - 9, month_B + 3)
    return year_B + era_B * 400 + is_late_B.long(), month_B, day_B


def days_of(year_B: Tensor, month: Tensor | int, day: Tensor | int) -> Tensor:
    """Days since 1970 of a date: undoes `date_of`."""
    month_B = torch.as_tensor(month)
    year_B = year_B - (month_B <= 2).long()
    era_B, year_B = year_B // 400, year_B % 400
    of_year_B = (153 * torch.where(month_B > 2, month_B - 3, month_B + 9) + 2) // 5 + day - 1
    return era_B * 146_097 + year_B * 365 + year_B // 4 - year_B // 100 + of_year_B - _TO_MARCH
