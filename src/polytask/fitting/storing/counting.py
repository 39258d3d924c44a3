"""How often every value of a column occurs, in a table that is read in pieces."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.columns.days import DayColumn
from polytask.columns.values import Coded, coded, converted, value_kind
from polytask.fitting.storing.parts import Walked

_FEWEST_PENDING = 1 << 20


@dataclass(slots=True)
class ValueCounts:
    """The values of one column with their rows, and the last days of these, merged when as many wait as are merged.

    >>> counts = ValueCounts("the column")
    >>> counts.add(coded(pa.chunked_array([["a", "b", "a"]]), "it"))
    >>> counts.add(coded(pa.chunked_array([["b", None]]), "it"))
    >>> counts.merged().sort_by("value").to_pydict()
    {'value': ['a', 'b'], 'count': [2, 2]}
    """

    what: str
    pending: list[pa.Table] = field(default_factory=list)
    num_pending: int = 0
    num_merged: int = 0

    def add(self, column: Coded, days_B: NDArray[np.int64] | None = None) -> None:
        """Count some more rows; their values are read as the first ones were, where nothing is lost."""
        if self.pending:
            known = self.pending[0]["value"].type
            values = converted(column, value_kind(known), self.what).cast(known)
            column = Coded(values, column.codes_B)
        rows = column.tally(days_B)
        self.pending.append(rows)
        self.num_pending += rows.num_rows
        if self.num_pending > max(self.num_merged, _FEWEST_PENDING):
            self.merged()

    def merged(self) -> pa.Table:
        """Columns `value`, `count` and perhaps `day`, each value once."""
        names = self.pending[0].column_names
        how = [("count", "sum"), ("day", "max")][: len(names) - 1]
        # Each thread would have a table of all values.
        groups = pa.concat_tables(self.pending).group_by("value", use_threads=False)
        whole = groups.aggregate(how)
        # Older Arrows have the key last.
        whole = whole.select(["value", *(f"{name}_{each}" for name, each in how)])
        whole = whole.rename_columns(names)
        self.pending, self.num_pending, self.num_merged = [whole], 0, whole.num_rows
        return whole


class Counted(NamedTuple):
    """The values of the training rows by column, the rows of each part, and the days of the training rows."""

    values: Mapping[str, pa.Table]
    rows: NDArray[np.int64]
    days: NDArray[np.int64] | None


def count_values(
    pieces: Iterable[Walked], columns: Sequence[str], by_day: DayColumn | None = None
) -> Counted:
    """Count all rows; `by_day` is the column of their times, where they have any."""
    found = {name: ValueCounts(f"column {name!r}") for name in columns}
    rows = np.zeros(3, dtype=np.int64)
    days: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    for piece in pieces:
        rows += np.bincount(piece.part_B, minlength=3)
        train = piece.table.take(piece.rows_of(0))
        days_B = None if by_day is None else by_day.days(train)
        if days_B is not None:
            days = np.union1d(days, days_B)
        for name, counts in found.items():
            counts.add(coded(train[name], counts.what), days_B)
    values = {name: counts.merged() for name, counts in found.items()}
    return Counted(values, rows, None if by_day is None else days)
