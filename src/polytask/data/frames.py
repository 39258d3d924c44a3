"""Tables in memory: pandas, polars and other frames, columns or rows by name; none is imported."""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import numpy as np
import pyarrow as pa

from polytask.data.arrays import column_of
from polytask.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

_PICTURES = (3, 4)
"""Arrays (N, H, W) and (N, H, W, C) are columns of pictures; (N, D) is more likely D columns."""


@runtime_checkable
class ArrowStream(Protocol):
    """Any frame that speaks Arrow's PyCapsule interface: pandas, polars, DuckDB, ..."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...


@runtime_checkable
class LazyFrame(Protocol):
    """A query of polars that has not run yet."""

    def collect(self) -> ArrowStream: ...
    def collect_schema(self) -> object: ...


def as_table(frame: object, *, skip: Collection[str] = ()) -> pa.Table:
    """A frame in memory as Arrow sees it; columns of `skip` need not be readable.

    UserError where it is no table, or a column cannot be read.

    >>> as_table([{"x": 1}, {"x": 2, "y": "a"}]).to_pydict()
    {'x': [1, 2], 'y': [None, 'a']}
    """
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    if _is_a(frame, "pandas", "DataFrame"):
        return _from_pandas(cast("pd.DataFrame", frame), skip)
    if _is_a(frame, "pandas", "Series"):
        return _from_rows([dict(cast("pd.Series", frame))])
    if isinstance(frame, LazyFrame):
        return pa.table(frame.collect())
    if isinstance(frame, ArrowStream):
        return pa.table(frame)
    if isinstance(frame, Mapping):
        return _from_columns(frame)
    if isinstance(frame, Sequence) and not isinstance(frame, str | bytes):
        return _from_rows(frame)
    raise _not_a_table(frame)


def as_given(source: object, table: pa.Table) -> ArrowStream:
    """Rows about the rows of `source` as the kind of frame that it is.

    pandas for pandas, with its index (for a Series, which is one row, with its name); polars for
    polars; else the table itself.
    """
    if _is_a(source, "pandas", "DataFrame", "Series"):
        given, frame = cast("pd.DataFrame | pd.Series", source), table.to_pandas()
        frame.index = [given.name] if given.ndim == 1 else given.index
        return cast(ArrowStream, frame)
    if _is_a(source, "polars", "DataFrame", "LazyFrame"):
        return cast(Callable[[pa.Table], ArrowStream], type(source))(table)
    return cast(ArrowStream, table)


def _is_a(frame: object, library: str, *names: str) -> bool:
    kinds = type(frame).__mro__
    return any(
        kind.__module__.partition(".")[0] == library and kind.__name__ in names for kind in kinds
    )


def _from_pandas(frame: "pd.DataFrame", skip: Collection[str]) -> pa.Table:
    """Without the index; a column of `skip` that cannot be read is missing in every row."""
    names = [str(name) for name in frame.columns]
    columns = []
    for name, (_, column) in zip(names, frame.items()):
        try:
            columns.append(pa.Array.from_pandas(_readable(column)))
        except (ValueError, TypeError, pa.ArrowException) as error:
            if name not in skip:
                raise _unreadable(name, column, error) from error
            columns.append(pa.nulls(len(column)))
    return pa.Table.from_arrays(columns, names=names)


def _readable(column: "pd.Series") -> "pd.Series":
    """Sparse columns made dense, periods as their first instants, intervals as text."""
    kind = type(column.dtype).__name__
    if kind == "SparseDtype":
        return column.sparse.to_dense()
    if kind == "PeriodDtype":
        return column.dt.to_timestamp()
    if kind == "IntervalDtype":
        column = column.astype("category")
    categories = getattr(column.dtype, "categories", None)
    if type(getattr(categories, "dtype", None)).__name__ == "IntervalDtype":
        return column.cat.rename_categories(column.cat.categories.astype(str))
    return column


def _unreadable(name: str, column: "pd.Series", error: Exception) -> UserError:
    first_rows: dict[str, int] = {}
    for row, value in enumerate(column):
        if value is not None and value == value:
            first_rows.setdefault(type(value).__name__, row)
    hint = f"make it one type (such as by astype(str)), or leave it out: ignore={name!r}"
    if len(first_rows) > 1:
        found = " and ".join(f"{kind} (row {row})" for kind, row in islice(first_rows.items(), 3))
        return UserError(f"column {name!r} of the pandas frame holds {found}: {hint}")
    return UserError(
        f"column {name!r} of the pandas frame, of dtype {column.dtype}, cannot be read ({error}): {hint}"
    )


def _from_columns(columns: Mapping[object, object]) -> pa.Table:
    """Arrays by name; or one row, where every value is a single one."""
    if columns and not any(_is_array(values) for values in columns.values()):
        return _from_rows([columns])
    arrays: dict[str, pa.Array] = {}
    for name, values in columns.items():
        dimensions = getattr(values, "ndim", 1)
        if isinstance(values, np.ndarray) and dimensions in _PICTURES:
            arrays[str(name)] = column_of(values)
            continue
        if dimensions != 1:
            raise UserError(
                f"column {name!r} of the dict has more than one dimension: give each a name"
            )
        try:
            arrays[str(name)] = pa.array(values, from_pandas=True)
        except (ValueError, TypeError, pa.ArrowException) as error:
            raise UserError(f"column {name!r} of the dict cannot be read: {error}") from error
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"the dict's columns differ in length: {lengths}")
    return pa.table(arrays)


def _from_rows(rows: Sequence[object]) -> pa.Table:
    if not all(isinstance(row, Mapping) for row in rows):
        raise _not_a_table(rows)
    mappings = cast(Sequence[Mapping[object, object]], rows)
    names = dict.fromkeys(name for row in mappings for name in row)
    return _from_columns({str(n): [row.get(n) for row in mappings] for n in names})


def _is_array(values: object) -> bool:
    if isinstance(values, str | bytes):
        return False
    return hasattr(values, "__len__") or getattr(values, "ndim", 0) > 0


def _not_a_table(source: object) -> UserError:
    what = f"cannot read a table from a {type(source).__name__}"
    if hasattr(source, "__array_interface__"):
        return UserError(
            f"{what}, for its columns have no names: pass pandas.DataFrame(array, columns=[...])"
            " or {'x': array[:, 0], ...}"
        )
    if hasattr(source, "read"):
        return UserError(f"{what}: pass the path of the file")
    return UserError(
        f"{what}: pass a path, a list of paths, a pyarrow, pandas or polars table, or a dict of columns"
    )
