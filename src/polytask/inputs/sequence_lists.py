"""List columns as their entries, one row after another; and numbers of lists as bins."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.columns.numbers import finite_numbers
from polytask.columns.values import is_number, is_text, value_type
from polytask.columns.words import is_list
from polytask.errors import UserError
from polytask.inputs.categories import FIRST_ID, UNSEEN_ID


class Entries(NamedTuple):
    """The entries of all rows, one row after another, how many each row has, and how many were null."""

    values_N: pa.ChunkedArray
    lengths_B: NDArray[np.int64]
    num_null: int


@dataclass(frozen=True, slots=True)
class Bins:
    """Numbers as ids: 2 + i for the i-th bin between `edges`, 1 for what is no finite number.

    >>> bins = Bins.fit(pa.chunked_array([[1.0, 2.0, 3.0, 4.0]]), "", num_bins=2)
    >>> bins.encode(pa.chunked_array([[1.0, 9.0]]), "").tolist()
    [2, 3]
    """

    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        if not np.all(np.diff(self.edges) > 0) or not np.all(np.isfinite(self.edges)):
            raise UserError("the edges of bins must rise, and be finite")

    @classmethod
    def fit(cls, values: pa.ChunkedArray, what: str, *, num_bins: int) -> Self:
        """Edges between as many numbers on either side; fewer where numbers are equal."""
        numbers_N = finite_numbers(values, what)
        numbers_N = numbers_N[np.isfinite(numbers_N)]
        if len(numbers_N) == 0:
            return cls(())
        edges = np.unique(np.quantile(numbers_N, np.linspace(0, 1, num_bins + 1)[1:-1]))
        return cls(tuple(edges[edges > numbers_N.min()].tolist()))

    @property
    def num_ids(self) -> int:
        """Rows of an embedding."""
        return len(self.edges) + 1 + FIRST_ID

    def encode(self, values: pa.ChunkedArray, what: str) -> NDArray[np.int64]:
        """An id for each number."""
        numbers_N = finite_numbers(values, what)
        ids_N = np.searchsorted(np.array(self.edges), numbers_N, side="right") + FIRST_ID
        return np.where(np.isfinite(numbers_N), ids_N, UNSEEN_ID)


def entries_of(column: pa.ChunkedArray, what: str) -> Entries:
    """The entries of a list column; a plain column has one in each row that is not missing.

    Nulls among the entries are left out. UserError for what is no number and no text.
    """
    if not is_list(column.type):
        column = _without_nan(column)
        is_there_B = column.is_valid().to_numpy()
        return Entries(_plain(column.drop_null(), what), is_there_B.astype(np.int64), 0)
    lengths_B = pc.list_value_length(column).fill_null(0).to_numpy().astype(np.int64)
    values_N = _without_nan(pc.list_flatten(column))
    is_null_N = values_N.is_null().to_numpy()
    if is_null_N.any():
        rows_N = np.repeat(np.arange(len(lengths_B)), lengths_B)
        lengths_B = lengths_B - np.bincount(rows_N[is_null_N], minlength=len(lengths_B))
    return Entries(_plain(values_N.drop_null(), what), lengths_B, int(is_null_N.sum()))


def _without_nan(values_N: pa.ChunkedArray) -> pa.ChunkedArray:
    """With null for NaN, which pandas has in its place."""
    if not pa.types.is_floating(values_N.type):
        return values_N
    return pc.if_else(pc.is_nan(values_N), pa.scalar(None, values_N.type), values_N)


def _plain(values_N: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    """Integers as int64 and text as large_string, so that columns of either can be joined."""
    dtype = value_type(values_N.type)
    if pa.types.is_null(dtype):
        return values_N
    if pa.types.is_floating(dtype) and pc.all(pc.equal(values_N, pc.floor(values_N))).as_py():
        # Ids became floats where some were missing.
        return values_N.cast(pa.int64())
    if pa.types.is_integer(dtype):
        return values_N.cast(pa.uint64() if pa.types.is_uint64(dtype) else pa.int64())
    if is_text(dtype):
        return values_N.cast(pa.large_string())
    if is_number(dtype):
        return values_N.cast(pa.float64())
    raise UserError(
        f"{what} holds {dtype}: lists of whole numbers, text or decimal numbers are read"
    )
