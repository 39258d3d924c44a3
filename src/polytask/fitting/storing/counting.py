"""How often every value of a column occurs, in a table that is read in pieces."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from polytask.columns.values import Coded, coded, converted, value_kind
from polytask.fitting.storing.parts import Walked

_FEWEST_PENDING = 1 << 20


@dataclass(slots=True)
class ValueCounts:
    """The values of one column with their rows, merged when as many wait as are merged.

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

    def add(self, column: Coded) -> None:
        """Count some more rows; their values are read as the first ones were, where nothing is lost."""
        values = column.values
        if self.pending:
            values = converted(column, value_kind(self.pending[0]["value"].type), self.what)
            values = values.cast(self.pending[0]["value"].type)
        counted = pa.table({"value": values, "count": column.counts()})
        counted = counted.filter(pa.array(column.counts() > 0))
        self.pending.append(counted)
        self.num_pending += counted.num_rows
        if self.num_pending > max(self.num_merged, _FEWEST_PENDING):
            self.merged()

    def merged(self) -> pa.Table:
        """Columns `value` and `count`, each value once."""
        whole = pa.concat_tables(self.pending).group_by("value").aggregate([("count", "sum")])
        whole = whole.rename_columns(["value", "count"]).select(["value", "count"])
        self.pending, self.num_pending, self.num_merged = [whole], 0, whole.num_rows
        return whole


def count_values(
    pieces: Iterable[Walked], columns: Sequence[str]
) -> tuple[Mapping[str, pa.Table], np.ndarray]:
    """The values of the training rows by column, and the number of rows of each part."""
    found = {name: ValueCounts(f"column {name!r}") for name in columns}
    rows = np.zeros(3, dtype=np.int64)
    for piece in pieces:
        rows += np.bincount(piece.part_B, minlength=3)
        train = piece.table.take(piece.rows_of(0))
        for name, counts in found.items():
            counts.add(coded(train[name], counts.what))
    return {name: counts.merged() for name, counts in found.items()}, rows
