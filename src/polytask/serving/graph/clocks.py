"""Times from raw columns: what `Time.encode` makes of a table."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polytask.inputs import Input
from polytask.inputs.time import Clock, Time
from polytask.serving.contract import MISSING_INTEGER
from polytask.serving.graph.columns import Channels
from polytask.serving.graph.parts_of_times import (
    DAY,
    Zone,
    date_of,
    days_of,
    days_since_1970,
    in_microseconds,
)
from polytask.serving.graph.raw import Raw, Reading


class RawTimes(nn.Module):
    """`Time.encode`: each part of each column, from 0 to 1, float32, NaN where missing."""

    def __init__(self, clocks: Sequence[Clock], places: Sequence[int]) -> None:
        super().__init__()
        self.clocks, self.places = tuple(clocks), list(places)
        self.zones = nn.ModuleList(Zone(clock.zone) for clock in clocks)

    def forward(self, raw: Raw) -> Tensor:
        parts = []
        for clock, place, zone in zip(self.clocks, self.places, self.zones):
            raw_B = raw.times_BK[:, place]
            missing_B = raw_B == MISSING_INTEGER
            ticks_B = in_microseconds(torch.where(missing_B, 0, raw_B), clock.unit)
            local_B = zone(ticks_B)
            for name in clock.parts:
                part_B = _part(name, clock, ticks_B, local_B)
                parts.append(torch.where(missing_B, torch.nan, part_B).float())
        return torch.stack(parts, dim=1)


def _part(name: str, clock: Clock, ticks_B: Tensor, local_B: Tensor) -> Tensor:
    if name in ("elapsed", "length"):
        return _share(ticks_B, clock.first, clock.last)
    if name == "hour":
        return (local_B % DAY).double() / DAY
    days_B = days_since_1970(local_B)
    if name == "weekday":
        return ((days_B + 3) % 7).double() / 7
    year_B, month_B, day_B = date_of(local_B)
    if name == "year":
        return _share(year_B, *clock.years)
    if name == "day of the month":
        is_last_B = month_B == 12
        next_B = days_of(year_B + is_last_B.long(), torch.where(is_last_B, 1, month_B + 1), 1)
        return (day_B - 1).double() / (next_B - (days_B - day_B + 1)).double()
    assert name == "day of the year"
    start_B = days_of(year_B, 1, 1)
    return (days_B - start_B).double() / (days_of(year_B + 1, 1, 1) - start_B).double()


def _share(values_B: Tensor, low: int, high: int) -> Tensor:
    return (values_B.clamp(low, high) - low).double() / max(high - low, 1)


def of_times(one: Input, channels: Channels, reading: Reading) -> nn.Module:
    assert isinstance(one, Time)
    named = zip(one.columns, one.clocks)
    places = [
        channels.time_of(name, "times" if clock.unit is None else "integers", clock.zone is not None)
        for name, clock in named
    ]
    return RawTimes(one.clocks, places)
