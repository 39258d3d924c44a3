"""A column as times, from the types in which tables hold them."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polytask.columns.values import coded, decoded, first_of, is_number, is_text, told, value_type
from polytask.errors import UserError

EpochUnit = Literal["s", "ms", "us", "ns", "yyyymmdd"]
"""What a whole number counts since 1970, or that it is written like 20240229."""

_SECONDS_BEFORE_1980 = 315_532_800
_SECONDS_BEFORE_2200 = 7_258_118_400


def times(column: pa.ChunkedArray, what: str, *, unit: EpochUnit | None) -> pa.ChunkedArray:
    """The column as timestamps in microseconds; durations and times of day count from 1970.

    Timestamps keep their zone; text with an offset and epochs are in UTC. `unit` is that of
    numbers. What is no time is a UserError; `what` names the column in it.
    """
    column = decoded(column)
    dtype = column.type
    try:
        if is_text(value_type(dtype)):
            return _times_of_text(column, what)
        if pa.types.is_timestamp(dtype):
            return column.cast(pa.timestamp("us", dtype.tz), safe=False)
        if pa.types.is_date(dtype):
            return column.cast(pa.timestamp("us"))
        if pa.types.is_time(dtype):
            ticks = column.cast(pa.time64("us"), safe=False).cast(pa.int64())
            return ticks.cast(pa.timestamp("us"))
        if pa.types.is_duration(dtype):
            ticks = column.cast(pa.duration("us"), safe=False).cast(pa.int64())
            return ticks.cast(pa.timestamp("us"))
        if is_number(dtype):
            return _times_of_numbers(column, what, unit=unit)
    except pa.ArrowInvalid as error:
        raise UserError(f"{what} holds {dtype} that is no time: {error}") from error
    if pa.types.is_null(dtype):
        return column.cast(pa.timestamp("us"))
    raise UserError(f"{what} holds {dtype}, where times are due")


def _times_of_text(column: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    """ISO 8601, all values with a zone ("Z", "+02:00": read as UTC) or all without."""
    found = coded(column, what)
    values = iso_times(found.values)
    if values is not None:
        return pa.chunked_array([values.take(pa.array(found.codes_B, mask=found.codes_B < 0))])
    wrong = np.array([iso_times(pa.array([value])) is None for value in found.values.to_pylist()])
    if not wrong.any():
        raise UserError(f"{what} holds times with and without a zone: write all of them one way")
    shown = first_of(found, found.spread(wrong, missing=0))
    raise UserError(f"{what} holds text that is no time such as 2024-02-29T18:30: {shown}")


def iso_times(texts: pa.Array | pa.ChunkedArray | pa.Scalar) -> pa.Array | None:
    """ISO 8601 texts as microseconds, in UTC where all have a zone; None for what is none."""
    for zone in (None, "UTC"):
        with suppress(pa.ArrowInvalid):
            return texts.cast(pa.timestamp("us", zone))
    return None


def _times_of_numbers(
    column: pa.ChunkedArray, what: str, *, unit: EpochUnit | None
) -> pa.ChunkedArray:
    if unit is None:
        raise UserError(f"{what} holds {column.type} here, but times in the training rows")
    whole = column.cast(pa.int64(), safe=False)
    if unit == "yyyymmdd":
        return pc.strptime(whole.cast(pa.string()), "%Y%m%d", "us")
    times = whole.cast(pa.timestamp(unit, "UTC"))
    return times.cast(pa.timestamp("us", "UTC"), safe=False)


def epoch_unit_of(column: pa.ChunkedArray, what: str) -> EpochUnit:
    """The unit in which the middle value is a time between 1980 and 2200."""
    present = column.drop_null()
    middle = pc.quantile(present, 0.5)[0].as_py() if len(present) else 0
    factors: Mapping[EpochUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
    for unit, factor in factors.items():
        if _SECONDS_BEFORE_1980 * factor <= middle < _SECONDS_BEFORE_2200 * factor:
            return unit
    raise UserError(
        f"{what}: are these {told(len(present), 'number')} times? Their middle, {middle:g}, is none "
        "in seconds, milliseconds, microseconds or nanoseconds since 1970: name its unit "
        "by the option epoch_unit"
    )
