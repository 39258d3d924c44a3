"""What a guess about a column may rest on, counted once: its values and how often each occurs."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.columns.values import is_number, value_type

_SLICES = 64
_SLICE_ROWS = 1 << 14
_TEN_DIGITS = 10**9
_NEARLY_ALL = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class ColumnStatistics:
    """One column, counted.

    `values` are the distinct values, the commonest first, and `counts` their rows: of all rows, or
    of `num_sampled` < `num_rows` rows spread evenly over a long table.
    `low` and `high` are None but for numbers; they and `is_whole` are those of all rows.
    `is_whole`: whole numbers only, as integers or, where some are missing, as floats.
    `is_ordered`: whole numbers of ten digits and more that rise, or fall, from row to row.
    """

    name: str
    type: pa.DataType
    num_rows: int
    num_sampled: int
    num_missing: int
    values: pa.Array
    counts: NDArray[np.int64]
    low: float | int | None
    high: float | int | None
    is_whole: bool
    is_ordered: bool = False

    @property
    def num_distinct(self) -> int:
        return len(self.values)

    @property
    def num_counted(self) -> int:
        """The rows with a value among those counted."""
        return int(self.counts.sum())

    @property
    def is_declared(self) -> bool:
        """Whether the table itself calls the column categorical."""
        return bool(pa.types.is_dictionary(self.type))

    @property
    def value_type(self) -> pa.DataType:
        return value_type(self.type)

    @property
    def is_constant(self) -> bool:
        """One value in every row; a value that is sometimes missing says something."""
        return self.num_distinct == 1 and self.num_missing == 0

    def share(self, holds: NDArray[np.bool_]) -> float:
        """The share of the counted rows whose value is marked in `holds`."""
        return float(self.counts[holds].sum() / max(self.num_counted, 1))


def sampled(table: pa.Table) -> pa.Table:
    """The table, or a million of its rows in slices spread evenly over it; nothing is copied."""
    if table.num_rows <= _SLICES * _SLICE_ROWS:
        return table
    starts = np.linspace(0, table.num_rows - _SLICE_ROWS, _SLICES).astype(np.int64)
    return pa.concat_tables([table.slice(int(start), _SLICE_ROWS) for start in starts])


def column_statistics(
    name: str, column: pa.ChunkedArray, sample: pa.ChunkedArray
) -> ColumnStatistics:
    """Count one column that is no list; `sample` are its rows in `sampled(table)`."""
    values, counts = _counted(sample)
    if len(values) <= 1 and len(sample) < len(column):
        # A sample that shows nothing does not prove that there is nothing.
        values, counts = _counted(column)
    low = high = None
    if is_number(column.type):
        low, high = (extreme.as_py() for extreme in pc.min_max(column).values())
    return ColumnStatistics(
        name=name,
        type=column.type,
        num_rows=len(column),
        num_sampled=len(sample),
        num_missing=column.null_count,
        values=values,
        counts=counts,
        low=low,
        high=high,
        is_whole=_are_whole(values) and (len(sample) == len(column) or _are_whole(column)),
        is_ordered=low is not None and low >= _TEN_DIGITS and _are_ordered(sample),
    )


def _counted(column: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64]]:
    counted = pc.value_counts(column.drop_null())
    counts = counted.field("counts").to_numpy()
    order = np.argsort(-counts, kind="stable")
    values = counted.field("values")
    values = values.cast(value_type(values.type))
    return values.take(pa.array(order)), counts[order]


def _are_whole(numbers: pa.Array | pa.ChunkedArray) -> bool:
    if pa.types.is_integer(numbers.type):
        return True
    if not pa.types.is_floating(numbers.type):
        return False
    whole = pc.and_(pc.is_finite(numbers), pc.equal(numbers, pc.floor(numbers)))
    return pc.all(whole).as_py() is not False


def _are_ordered(numbers: pa.ChunkedArray) -> bool:
    """Whether nearly every value is at least the one before it, or nearly every one at most."""
    values = numbers.drop_null().to_numpy()
    if len(values) < 2:
        return False
    rising, falling = values[1:] >= values[:-1], values[1:] <= values[:-1]
    return bool(max(rising.mean(), falling.mean()) >= _NEARLY_ALL)
