"""Times: hour, weekday, day of the month and of the year, year, and time since the first one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polytask.columns.times import EpochUnit, epoch_unit_of, times
from polytask.columns.values import decoded, is_number, type_name
from polytask.errors import UserError
from polytask.inputs.input import Feature, Input, require_one_each

_DAY = 86_400_000_000
"""Microseconds of a day."""
_MISSING = np.datetime64("NaT", "us")

Instants = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class Clock:
    """What is known of one column of times.

    `zone` is the one in which hours and days are read, None for times without a zone. `first` and
    `last` are the limits of the training rows in microseconds since 1970 (durations: microseconds),
    `years` those on the clock of `zone`; `parts` are those that differ between training rows.
    """

    dtype: str
    zone: str | None
    unit: EpochUnit | None
    parts: tuple[str, ...]
    first: int
    last: int
    years: tuple[int, int]
    has_missing: bool

    def __post_init__(self) -> None:
        known = {*_PARTS, _ELAPSED, _LENGTH}
        if not known.issuperset(self.parts) or len(set(self.parts)) < len(self.parts):
            raise UserError(f"the parts of a time are not {', '.join(self.parts)}")
        if self.first > self.last or self.years[0] > self.years[1]:
            raise UserError("a time that ends before it begins")

    @classmethod
    def fit(
        cls,
        column: pa.ChunkedArray,
        what: str,
        *,
        epoch_unit: EpochUnit | None,
        time_zone: str | None,
    ) -> Self:
        column = decoded(column)
        dtype = column.type
        unit = (epoch_unit or epoch_unit_of(column, what)) if is_number(dtype) else None
        own_zone = times(column, what, unit=unit).type.tz
        zone = None if own_zone is None else time_zone or str(own_zone)
        instants_B, local_B = _read(column, what, unit=unit, zone=zone)
        present_B = ~np.isnat(instants_B)
        has_missing = not bool(present_B.all())
        if not present_B.any():
            parts: tuple[str, ...] = (_ELAPSED,)
            return cls(type_name(dtype), zone, unit, parts, 0, 0, (1970, 1970), has_missing)
        ticks, local = instants_B[present_B].astype(np.int64), local_B[present_B]
        first, last, years = int(ticks.min()), int(ticks.max()), _year(local)
        limits, parts = (int(years.min()), int(years.max())), _varying(dtype, local)
        return cls(type_name(dtype), zone, unit, parts, first, last, limits, has_missing)

    def encode(self, column: pa.ChunkedArray, what: str) -> NDArray[np.float32]:
        """Each part of each row (B, P), from 0 to 1; NaN where missing."""
        instants_B, local_B = _read(column, what, unit=self.unit, zone=self.zone)
        missing_B = np.isnat(instants_B)
        known_B = np.where(missing_B, np.datetime64(0, "us"), local_B)
        values_BP = np.empty((len(column), len(self.parts)), dtype=np.float32)
        for p, name in enumerate(self.parts):
            if name in (_ELAPSED, _LENGTH):
                ticks_B = np.where(missing_B, self.first, instants_B.astype(np.int64))
                part_B = _share(ticks_B, self.first, self.last)
            elif name == _YEAR:
                part_B = _share(_year(known_B), *self.years)
            else:
                part_B = _PARTS[name](known_B)
            values_BP[:, p] = part_B
        values_BP[missing_B] = np.nan
        return values_BP

    def features(self, column: str) -> list[Feature]:
        """This column's features in the order of its parts: plain, sine and cosine of each."""
        features = []
        for name in self.parts:
            features.append(Feature(column, self._plain(name)))
            if name in _CYCLES:
                features += [Feature(column, f"{name}, {wave}") for wave in ("sine", "cosine")]
        return [*features, *([Feature(column, "is missing")] if self.has_missing else [])]

    def _plain(self, name: str) -> str:
        if name == _ELAPSED:
            first, last = (np.datetime64(tick, "us").item() for tick in (self.first, self.last))
            return f"time since {first}, until {last}"
        if name == _LENGTH:
            return f"length, {self.first / 1e6:g} to {self.last / 1e6:g} seconds"
        return f"year, {self.years[0]} to {self.years[1]}" if name == _YEAR else name


@dataclass(frozen=True)
class Time(Input):
    """Columns of times: timestamps, dates, times of day, durations, ISO 8601 text, epoch numbers.

    Hour, weekday, day of the month and day of the year are each a plain number and a point on a
    circle, so that 23:59 lies beside 00:00; year and the time since the first training row are
    plain. What does not differ between the training rows (the hour of dates) is left out.
    DIFF to a plain number: times beyond the training rows count as the first or the last of them.

    >>> from datetime import datetime
    >>> when = [datetime(2024, 1, 1, 6), datetime(2024, 1, 1, 18), None]
    >>> times = Time.fit(pa.table({"when": when}), ["when"])
    >>> [feature.what for feature in times.features()][:3]
    ['hour', 'hour, sine', 'hour, cosine']
    >>> times.encode(pa.table({"when": when})).tolist()
    [[0.25, 0.0], [0.75, 1.0], [nan, nan]]
    """

    by_column: ClassVar[str] = "clocks"
    clocks: tuple[Clock, ...]

    def __post_init__(self) -> None:
        require_one_each(self.columns, self.clocks, "clocks")

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        columns: Sequence[str],
        *,
        epoch_unit: EpochUnit | None = None,
        time_zone: str | None = None,
    ) -> Self:
        """`epoch_unit`: what whole numbers count since 1970, or yyyymmdd; by their size if absent.

        `time_zone`: where hours and days are read, for times that have a zone and for epochs; the
        column's own zone if absent. UserErrors: no times, a zone that nobody knows.
        """
        clocks = (
            Clock.fit(table[name], f"column {name!r}", epoch_unit=epoch_unit, time_zone=time_zone)
            for name in columns
        )
        return cls(tuple(columns), tuple(clocks))

    def encode(self, table: pa.Table) -> Tensor:
        """The parts of all columns side by side (B, P), float32 from 0 to 1, NaN where missing."""
        parts = [
            clock.encode(table[name], f"column {name!r}")
            for name, clock in zip(self.columns, self.clocks)
        ]
        return torch.from_numpy(np.concatenate(parts, axis=1))

    def module(self) -> "TimeFeatures":
        return TimeFeatures(self.clocks)

    def features(self) -> list[Feature]:
        return [
            feature
            for name, clock in zip(self.columns, self.clocks)
            for feature in clock.features(name)
        ]


class TimeFeatures(nn.Module):
    """2 p - 1, sin(2 pi p) and cos(2 pi p) of parts p from 0 to 1, and flags; 0 where missing.

    It has no parameters. **Shape** (B, P) with NaN where missing -> (B, F).
    """

    def __init__(self, clocks: Sequence[Clock]) -> None:
        super().__init__()
        rows: list[tuple[int, int]] = []
        first = 0
        for clock in clocks:
            for part, name in enumerate(clock.parts, start=first):
                rows += [(part, form) for form in ((0, 1, 2) if name in _CYCLES else (0,))]
            rows += [(first, 3)] if clock.has_missing else []
            first += len(clock.parts)
        # Of each feature, the part that it reads and its form: plain, sine, cosine, is missing.
        self.parts: Tensor
        self.forms: Tensor
        self.register_buffer("parts", torch.tensor([p for p, _ in rows]), persistent=False)
        self.register_buffer("forms", torch.tensor([f for _, f in rows]), persistent=False)

    def forward(self, parts_BP: Tensor) -> Tensor:
        part_BF = parts_BP[:, self.parts]
        angle_BF = part_BF * (2 * torch.pi)
        wave_BF = torch.where(self.forms == 1, angle_BF.sin(), angle_BF.cos())
        known_BF = torch.where(self.forms == 0, 2 * part_BF - 1, wave_BF).nan_to_num(nan=0.0)
        return torch.where(self.forms == 3, part_BF.isnan().to(part_BF.dtype), known_BF)


def _read(
    column: pa.ChunkedArray, what: str, *, unit: EpochUnit | None, zone: str | None
) -> tuple[Instants, Instants]:
    """Each row's time, in UTC where it has a zone, and on the clock of `zone`; NaT where missing."""
    found = times(column, what, unit=unit)
    if found.null_count == len(found):
        missing_B = np.full(len(found), _MISSING)
        return missing_B, missing_B
    if (found.type.tz is None) != (zone is None):
        here, there = (
            "no time zone" if each is None else f"the time zone {each}"
            for each in (found.type.tz, zone)
        )
        raise UserError(f"{what} has {here} here, but {there} in the training rows")
    if zone is None:
        return _microseconds(found), _microseconds(found)
    try:
        local = pc.local_timestamp(found.cast(pa.timestamp("us", zone)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(f"{what}: the time zone {zone!r}: {error}") from error
    return _microseconds(found), _microseconds(local)


def _day_in(local_B: Instants, period: Literal["M", "Y"]) -> NDArray[np.float64]:
    """The share of the month or year that had passed when the day began."""
    days_B = local_B.astype("datetime64[D]")
    start_B = days_B.astype(f"datetime64[{period}]")
    ends_B = (start_B + 1).astype("datetime64[D]")
    starts_B = start_B.astype("datetime64[D]")
    passed_B = (days_B - starts_B).astype(np.float64)
    share_B: NDArray[np.float64] = passed_B / (ends_B - starts_B).astype(np.float64)
    return share_B


def _year(local_B: Instants) -> NDArray[np.float64]:
    years_B: NDArray[np.float64] = local_B.astype("datetime64[Y]").astype(np.float64) + 1970
    return years_B


_YEAR = "year"
_ELAPSED = "elapsed"
_LENGTH = "length"
_CYCLES = ("hour", "weekday", "day of the month", "day of the year")
_PARTS: Mapping[str, Callable[[Instants], NDArray[np.float64]]] = {
    "hour": lambda local_B: local_B.astype(np.int64) % _DAY / _DAY,
    # Whole days, Monday first; 1970 began on a Thursday.
    "weekday": lambda local_B: (local_B.astype(np.int64) // _DAY + 3) % 7 / 7,
    "day of the month": partial(_day_in, period="M"),
    "day of the year": partial(_day_in, period="Y"),
    _YEAR: _year,
}


def _varying(dtype: pa.DataType, local_B: Instants) -> tuple[str, ...]:
    """The parts that differ between the rows; never none."""
    if pa.types.is_duration(dtype):
        return (_LENGTH,)
    is_clock = bool(pa.types.is_time(dtype))
    found = {name: part(local_B) for name, part in _PARTS.items() if name == "hour" or not is_clock}
    varying = tuple(name for name, values_B in found.items() if values_B.min() < values_B.max())
    return varying if is_clock and varying else (*varying, _ELAPSED)


def _share(
    values_B: NDArray[np.int64] | NDArray[np.float64], low: int, high: int
) -> NDArray[np.float64]:
    """Where values lie between the limits, 0 to 1; what lies outside is on the nearer limit."""
    # Subtracted as whole numbers, for microseconds since 1970 are near the end of float64.
    share: NDArray[np.float64] = (values_B.clip(low, high) - low) / max(high - low, 1)
    return share


def _microseconds(times: pa.ChunkedArray) -> Instants:
    ticks = times.cast(pa.int64()).fill_null(_MISSING.astype(np.int64).item())
    return np.asarray(ticks.to_numpy()).astype("datetime64[us]")
