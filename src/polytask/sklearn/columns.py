"""Arrays and frames -> columns, and back."""

from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

from polytask.data.frames import ArrowStream, as_table

Values: TypeAlias = NDArray[np.generic]
Data: TypeAlias = ArrayLike | ArrowStream
"""An array, or a frame: pandas, polars or Arrow."""


def is_frame(data: Data) -> bool:
    return isinstance(data, ArrowStream) and len(getattr(data, "shape", ())) == 2


def frame_like(frame: object, columns: Mapping[str, Values]) -> Data:
    """A frame of the same library, with the index where it has one."""
    if isinstance(frame, pa.Table):
        return cast(Data, pa.table(columns))
    make = cast(Callable[..., Data], type(frame))
    return make(columns, index=frame.index) if hasattr(frame, "index") else make(columns)


def label_columns(y: Data) -> dict[str, Values]:
    """(n,) of each column of y by its name; those of an array are y0, y1, ..."""
    if is_frame(y):
        table = as_table(y)
        return {name: _as_array(table[name]) for name in table.column_names}
    name = getattr(y, "name", None)
    values = check_array(y, ensure_2d=False, dtype=None, ensure_all_finite=False, input_name="y")
    if values.ndim == 1:
        return {"y0" if name is None else str(name): values}
    return {f"y{t}": column for t, column in enumerate(values.T)}


def _as_array(column: pa.ChunkedArray) -> Values:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    values: Values = column.to_numpy()
    return values


def as_arrow(values: Values) -> pa.Array:
    """(n,) -> a column, in which None and NaN are missing."""
    try:
        return pa.array(np.ascontiguousarray(values), from_pandas=True)
    except (pa.ArrowException, TypeError) as error:
        raise TypeError(f"each value must be a string or a number: {error}") from error


def is_number(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_integer(column.type) or pa.types.is_floating(column.type))


def as_numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(), dtype=np.float64)
