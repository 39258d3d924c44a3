"""Tables that are read from first to last, a piece at a time, instead of as a whole."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

Pieces = Callable[[Sequence[str]], Iterator[pa.Table]]
"""The columns that are wanted -> the rows in order, in pieces of whatever size."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A table whose rows come in order, as often as they are asked for.

    fingerprint: what changes when its content does, such as each file's size and time; empty where
    nothing says so, as of a table in memory. files: their names, below folders KEY=VALUE. note: what was left out. schema: of files, the types that
    they have. narrowed: of files, the scan without the stretches that their own figures say no row in meets a
    condition; `num_rows` are still those of all.

    >>> scan = Scan.of_table(pa.table({"x": range(5)}))
    >>> [piece["x"].to_pylist() for piece in scan.batches(["x"], 2)]
    [[0, 1], [2, 3], [4]]
    """

    names: Sequence[str]
    num_rows: int
    pieces: Pieces
    fingerprint: Callable[[], tuple[str, ...]] = tuple
    files: tuple[str, ...] = ()
    note: str = ""
    schema: pa.Schema | None = None
    narrowed: Callable[[pc.Expression], "Scan"] | None = None

    @classmethod
    def of_table(cls, table: pa.Table) -> "Scan":
        """A table in memory."""
        return cls(
            table.column_names,
            table.num_rows,
            lambda columns: iter((table.select(list(columns)),)),
        )

    def batches(self, columns: Sequence[str], size: int) -> Iterator[pa.Table]:
        """The rows in tables of `size` rows, the last of fewer."""
        held: list[pa.Table] = []
        num_held = 0
        for piece in self.pieces(columns):
            held.append(piece)
            num_held += piece.num_rows
            if num_held >= size:
                whole = pa.concat_tables(held, promote_options="permissive")
                for start in range(0, num_held - size + 1, size):
                    yield whole.slice(start, size)
                rest = whole.slice(num_held - num_held % size)
                held, num_held = [rest] if rest.num_rows else [], rest.num_rows
        if num_held:
            yield pa.concat_tables(held, promote_options="permissive")
