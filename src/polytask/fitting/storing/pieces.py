"""A table in pieces as a fit sees it: with its own reading options and derived columns."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from polytask.data.derive import Derivation
from polytask.data.options import ReadOptions
from polytask.data.readers import read_table
from polytask.data.scans import Scan
from polytask.errors import UserError
from polytask.fitting.preparing.encoding import apply_derivations, derived_from

PIECE_ROWS = 1 << 17


@dataclass(frozen=True, slots=True)
class PieceReader:
    """Reads only the columns that are asked for, and what they are derived from."""

    scan: Scan
    derivations: Sequence[Derivation]
    options: ReadOptions

    def raw(self) -> Iterator[pa.Table]:
        """All columns as they are written, in pieces of the same rows as `tables`."""
        return self.scan.batches(self.scan.names, PIECE_ROWS)

    def tables(self, columns: Collection[str]) -> Iterator[pa.Table]:
        """The rows in order, in tables of some 100,000."""
        needed = derived_from(self.derivations, frozenset(columns))
        used = [each for each in self.derivations if each.name in needed]
        # A table without columns would have lost its rows.
        names = [name for name in self.scan.names if name.strip() in needed] or self.scan.names[:1]
        # Text of one piece may allow another order of day and month than that of the next.
        options = replace(self.options, finds_dates=False)
        first = 0
        for piece in self.scan.batches(names, PIECE_ROWS):
            try:
                yield apply_derivations(read_table(piece, options=options), used)
            except UserError as error:
                raise placed(error, first) from error
            first += piece.num_rows


def placed(error: UserError, first: int) -> UserError:
    """The error of a piece, with where in the table its rows are counted from."""
    return UserError(
        f"{error.message} (counted from row {first:,} of the table)" if first else error.message
    )
