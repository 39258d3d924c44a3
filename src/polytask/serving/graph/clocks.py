"""Times in a graph: what `Time.encode` makes of a table, of raw columns."""

from polytask.inputs import Input
from polytask.inputs.time import Clock, Time
from polytask.serving.graph.calendar import (
    DAY,
    date_of,
    days_of,
    in_microseconds,
    known_times,
    on_the_clock_of,
)
from polytask.serving.graph.sources import Sources
from polytask.serving.graph.values import Value, side_by_side


def of_times(one: Input, sources: Sources) -> Value:
    """Each part of each column, from 0 to 1 (B, P), float32, NaN where missing."""
    assert isinstance(one, Time)
    parts = []
    for name, clock in zip(one.columns, one.clocks):
        raw = sources.time(
            name,
            "integers" if clock.unit else "times",
            clock.unit is None and clock.zone is not None,
        )
        is_known, given = known_times(raw)
        ticks = in_microseconds(given, clock.unit)
        local = on_the_clock_of(clock.zone, ticks)
        found = (_part(part, clock, ticks, local) for part in clock.parts)
        parts += [part.where(is_known, float("nan")) for part in found]
    return side_by_side(parts).cast("float32")


def _part(name: str, clock: Clock, ticks: Value, local: Value) -> Value:
    if name in ("elapsed", "length"):
        return _share(ticks, clock.first, clock.last)
    if name == "hour":
        return (local % DAY).cast("float64") / float(DAY)
    if name == "weekday":
        # Monday first; 1970 began on a Thursday.
        return ((local // DAY + 3) % 7).cast("float64") / 7.0
    year, month, day = date_of(local)
    if name == "year":
        return _share(year, *clock.years)
    days = local // DAY
    if name == "day of the month":
        is_last = month.equals(12)
        next_month = (month + 1).where(~is_last, 1)
        first = days - day + 1
        length = days_of(year + is_last.cast("int64"), next_month, 1) - first
        return (days - first).cast("float64") / length.cast("float64")
    assert name == "day of the year"
    first = days_of(year, 1, 1)
    return (days - first).cast("float64") / (days_of(year + 1, 1, 1) - first).cast("float64")


def _share(values: Value, low: int, high: int) -> Value:
    return (values.within(low, high) - low).cast("float64") / float(max(high - low, 1))
