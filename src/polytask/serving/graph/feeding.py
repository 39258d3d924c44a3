"""A table as the arrays that a graph takes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.columns.numbers import numbers
from polytask.columns.required import require_columns
from polytask.columns.times import times
from polytask.columns.values import ValueKind, coded, converted, listed
from polytask.serving.contract import MISSING_INTEGER, MISSING_TEXT, RawColumn

Feeds = Mapping[str, NDArray[np.generic]]


def feeds_of(table: pa.Table, columns: Sequence[RawColumn]) -> Feeds:
    """The arrays (B,) of a table that was read as the run reads tables; UserErrors as of `Run.predict`."""
    require_columns(table, [column.name for column in columns], "the graph")
    return {column.name: _array(table[column.name], column) for column in columns}


def _array(values: pa.ChunkedArray, column: RawColumn) -> NDArray[np.generic]:
    what = f"column {column.name!r}"
    if column.holds == "numbers":
        return numbers(values, what).astype(np.float64)
    if column.holds == "times" and not pa.types.is_integer(values.type):
        ticks = times(values, what, unit=None).cast(pa.int64())
        return np.asarray(ticks.fill_null(MISSING_INTEGER).to_numpy())
    found = coded(values, what)
    kind: ValueKind = "text" if column.holds == "texts" else "integer"
    if column.holds == "booleans" and found.kind == "text":
        kind = "boolean"
    given = converted(found, kind, what)
    if column.is_string:
        texts = np.array([str(value) for value in listed(pa.chunked_array([given]))], dtype=object)
        return np.append(texts, MISSING_TEXT)[found.codes_B].astype(object)
    whole = np.asarray(given.cast(pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)
    return found.spread(whole, missing=MISSING_INTEGER)
