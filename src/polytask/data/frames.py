"""Tables in memory: pandas, polars and other frames, columns or rows by name; none is imported."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import pyarrow as pa
import pyarrow.dataset as ds

from polytask.data.files import declared_categories
from polytask.data.options import Decimal
from polytask.data.pandas_frames import PandasFrame, table_from_pandas
from polytask.errors import UserError


@runtime_checkable
class ArrowStream(Protocol):
    """Any frame that speaks Arrow's PyCapsule interface: pandas, polars, DuckDB, ..."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...


@runtime_checkable
class LazyFrame(Protocol):
    """A query of polars that has not run yet."""

    def collect(self) -> ArrowStream: ...
    def collect_schema(self) -> object: ...


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame in memory, as Arrow sees it."""

    table: pa.Table

    @classmethod
    def opened(cls, frame: object, *, skip: Collection[str] = ()) -> "Frame":
        return cls(_as_table(frame, skip))

    @property
    def decimal(self) -> Decimal | None:
        return None

    @property
    def names(self) -> list[str]:
        return list(self.table.column_names)

    @property
    def declared(self) -> frozenset[str]:
        """Columns that the frame itself calls categories."""
        return declared_categories(self.table.schema)

    def read(self, columns: Sequence[str]) -> pa.Table:
        return self.table.select(list(columns))


@dataclass(frozen=True, slots=True)
class DatasetOfArrow:
    """A `pyarrow.dataset.Dataset`, of which only the columns that are asked for are read."""

    dataset: ds.Dataset

    @property
    def decimal(self) -> Decimal | None:
        return None

    @property
    def names(self) -> list[str]:
        return list(self.dataset.schema.names)

    @property
    def declared(self) -> frozenset[str]:
        return declared_categories(self.dataset.schema)

    def read(self, columns: Sequence[str]) -> pa.Table:
        return self.dataset.to_table(columns=list(columns))


class _Indexed(Protocol):
    """What is used of a `pandas.DataFrame` or of one row of it."""

    index: object
    name: object


def as_given(source: object, table: pa.Table) -> ArrowStream:
    """Rows about the rows of `source` as the kind of frame that it is.

    pandas for pandas, with its index (for a Series, which is one row, with its name); polars for
    polars; else the table itself.
    """
    if _is_a(source, "pandas", "DataFrame") or _is_a(source, "pandas", "Series"):
        given = cast(_Indexed, source)
        frame = table.to_pandas()
        frame.index = given.index if _is_a(source, "pandas", "DataFrame") else [given.name]
        return cast(ArrowStream, frame)
    if _is_a(source, "polars", "DataFrame") or _is_a(source, "polars", "LazyFrame"):
        return cast(Callable[[pa.Table], ArrowStream], type(source))(table)
    return cast(ArrowStream, table)


def _as_table(frame: object, skip: Collection[str]) -> pa.Table:
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    if _is_a(frame, "pandas", "DataFrame"):
        return table_from_pandas(cast(PandasFrame, frame), skip=skip)
    if _is_a(frame, "pandas", "Series"):
        return _from_rows([dict(cast(PandasFrame, frame).items())])
    if isinstance(frame, LazyFrame):
        return pa.table(frame.collect())
    if isinstance(frame, ArrowStream):
        return pa.table(frame)
    if isinstance(frame, Mapping):
        return _from_columns(frame)
    if isinstance(frame, Sequence) and not isinstance(frame, str | bytes):
        return _from_rows(frame)
    raise _not_a_table(frame)


def _is_a(frame: object, library: str, name: str) -> bool:
    kinds = type(frame).__mro__
    return any(
        kind.__module__.partition(".")[0] == library and kind.__name__ == name for kind in kinds
    )


def _from_columns(columns: Mapping[object, object]) -> pa.Table:
    """Arrays by name; or one row, where every value is a single one."""
    if columns and not any(_is_array(values) for values in columns.values()):
        return _from_rows([columns])
    arrays: dict[str, pa.Array] = {}
    for name, values in columns.items():
        if getattr(values, "ndim", 1) != 1:
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
