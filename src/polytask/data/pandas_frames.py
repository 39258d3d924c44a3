"""pandas frames as Arrow tables: intervals, sparse columns and periods too; pandas is not imported."""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from typing import Protocol

import pyarrow as pa

from polytask.errors import UserError


class PandasColumn(Protocol):
    """What is used of a `pandas.Series`."""

    dtype: object
    sparse: "PandasColumn"
    cat: "PandasColumn"
    dt: "PandasColumn"
    categories: "PandasColumn"

    def __iter__(self) -> Iterator[object]: ...
    def __len__(self) -> int: ...
    def astype(self, dtype: object) -> "PandasColumn": ...
    def rename_categories(self, names: object) -> "PandasColumn": ...
    def to_dense(self) -> "PandasColumn": ...
    def to_timestamp(self) -> "PandasColumn": ...


class PandasFrame(Protocol):
    """What is used of a `pandas.DataFrame`."""

    columns: Collection[object]

    def items(self) -> Iterator[tuple[object, PandasColumn]]: ...
    def __len__(self) -> int: ...


def table_from_pandas(frame: PandasFrame, *, skip: Collection[str]) -> pa.Table:
    """The frame's columns, its index left out; UserError names a column that cannot be read.

    A column of `skip` that cannot be read is missing in every row.
    """
    if not any(_needs_help(column.dtype) for _, column in frame.items()):
        try:
            return pa.Table.from_pandas(frame, preserve_index=False)
        except (ValueError, TypeError, pa.ArrowException) as error:
            if len({str(name) for name in frame.columns}) < len(frame.columns):
                raise UserError(f"the pandas frame: {error}") from error
    arrays: dict[str, pa.Array] = {}
    for name, column in frame.items():
        arrays[str(name)] = _read(str(name), column, is_skipped=str(name) in skip)
    return pa.table(arrays)


def _needs_help(dtype: object) -> bool:
    return type(dtype).__name__ in _HELPED or _holds_intervals(dtype)


def _read(name: str, column: PandasColumn, *, is_skipped: bool) -> pa.Array:
    try:
        help_with = _HELPED.get(type(column.dtype).__name__)
        if _holds_intervals(column.dtype):
            names = column.cat.categories.astype(str)
            column = column.cat.rename_categories(names)
        elif help_with is not None:
            column = help_with(column)
        return pa.Array.from_pandas(column)
    except (ValueError, TypeError, pa.ArrowException) as error:
        if is_skipped:
            return pa.nulls(len(column))
        raise _unreadable(name, column, error) from error


def _unreadable(name: str, column: PandasColumn, error: Exception) -> UserError:
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


def _holds_intervals(dtype: object) -> bool:
    """Whether a dtype is what `pandas.cut` makes: categories that are intervals."""
    categories = getattr(dtype, "categories", None)
    return type(getattr(categories, "dtype", None)).__name__ == "IntervalDtype"


def _interval_texts(column: PandasColumn) -> PandasColumn:
    categories = column.astype("category")
    return categories.cat.rename_categories(categories.cat.categories.astype(str))


def _dense(column: PandasColumn) -> PandasColumn:
    return column.sparse.to_dense()


def _first_instants(column: PandasColumn) -> PandasColumn:
    return column.dt.to_timestamp()


_HELPED: Mapping[str, Callable[[PandasColumn], PandasColumn]] = {
    "IntervalDtype": _interval_texts,
    "SparseDtype": _dense,
    "PeriodDtype": _first_instants,
}
