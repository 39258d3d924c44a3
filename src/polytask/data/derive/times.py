"""Hours, weekdays, dates and spans of times.

A time is a timestamp, a date, the ISO text of either, or whole numbers with their unit:
`hour(when)`, `hour(time_ms, "ms")`. A timestamp with a zone is read by the clock of its zone;
another zone may be named: `hour(when, "Asia/Tokyo")`, `hour(time_ms, "ms", "Asia/Tokyo")`.
Missing in, missing out.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from polytask.columns.times import iso_times
from polytask.columns.values import is_number

Value: TypeAlias = pa.ChunkedArray | pa.Scalar
Function: TypeAlias = Callable[..., Value]

_UNITS = ("s", "ms", "us", "ns")
_A_DAY = 86_400_000_000
"""In microseconds."""


def _part(extract: Function, when: Value, *how: Value) -> Value:
    """A part of the date or the clock of each time, as a whole number."""
    return extract(_local(when, how)).cast(pa.int64())


def date(when: Value, *how: Value) -> Value:
    """The day of each time, by the clock of its zone."""
    return _local(when, how).cast(pa.timestamp("us"), safe=False).cast(pa.date32(), safe=False)


def days_since(when: Value, earlier: Value, *how: Value) -> Value:
    """The days from one time to another, with fractions; negative where `earlier` comes later."""
    later, first = (
        _microseconds(value, other, how) for value, other in ((when, earlier), (earlier, when))
    )
    return pc.divide(pc.subtract_checked(later, first).cast(pa.float64()), float(_A_DAY))


def age(when: Value, born: Value, *how: Value) -> Value:
    """The whole years from the day `born` to the day of each time."""
    then, first = date(when, *how), date(born, *how)
    years = pc.subtract(pc.year(then), pc.year(first))
    # Month and day as one number: the birthday is still to come where that of `born` is larger.
    days = [pc.add(pc.multiply(pc.month(value), 100), pc.day(value)) for value in (then, first)]
    return pc.subtract(years, pc.if_else(pc.less(*days), 1, 0)).cast(pa.int64())


OF_A_TIME: dict[str, Function] = {
    "year": partial(_part, pc.year),
    "month": partial(_part, pc.month),
    "day": partial(_part, pc.day),
    "weekday": partial(_part, pc.day_of_week),
    "hour": partial(_part, pc.hour),
    "minute": partial(_part, pc.minute),
    "date": date,
}
"""Functions of one time, its unit and its zone; weekdays count from 0 for Monday."""

OF_TWO_TIMES: dict[str, Function] = {"days_since": days_since, "age": age}


def _local(when: Value, how: tuple[Value, ...]) -> Value:
    """A timestamp without a zone that shows what the clock of the time's zone shows."""
    unit, zone = _unit_and_zone(how)
    value = _timestamp(when, unit)
    if zone is not None:
        if value.type.tz is None:
            raise ValueError(f"a time without a zone cannot be moved to {zone}")
        value = value.cast(pa.timestamp(value.type.unit, zone))
    return value if value.type.tz is None else pc.local_timestamp(value)


def _microseconds(when: Value, other: Value, how: tuple[Value, ...]) -> Value:
    """Microseconds since 1970, by UTC; a time without a zone is one of the zone of the other."""
    unit, _ = _unit_and_zone(how)
    value, beside = _timestamp(when, unit), _timestamp(other, unit)
    if value.type.tz is None and beside.type.tz is not None:
        value = pc.assume_timezone(value, beside.type.tz)
    return value.cast(pa.timestamp("us", value.type.tz), safe=False).cast(pa.int64())


def _timestamp(when: Value, unit: str | None) -> Value:
    kind = when.type
    if is_number(kind):
        if unit is None:
            raise ValueError("of a time that is a number say the unit, such as hour(time_ms, 'ms')")
        whole = pc.floor(when).cast(pa.int64()) if pa.types.is_floating(kind) else when
        return whole.cast(pa.timestamp(unit, "UTC"))
    if unit is not None:
        raise ValueError(f"the unit {unit!r} is for times that are numbers, but here is {kind}")
    if pa.types.is_timestamp(kind):
        return when
    if pa.types.is_date(kind):
        return when.cast(pa.timestamp("us"))
    if pa.types.is_dictionary(kind) or not pa.types.is_large_string(kind):
        raise ValueError(f"this takes a time, but here is {kind}")
    found = iso_times(when)
    if found is None:
        raise ValueError("this takes a time, but the text is none such as 2022-04-01 18:30")
    return found


def _unit_and_zone(how: tuple[Value, ...]) -> tuple[str | None, str | None]:
    unit, zone = None, None
    for value in how:
        text = str(value.as_py())
        if text in _UNITS and unit is None:
            unit = text
        elif zone is None and text not in _UNITS:
            zone = text
        else:
            raise ValueError(f"a unit ({', '.join(_UNITS)}) and a zone, each once, but {text!r}")
    return unit, zone
