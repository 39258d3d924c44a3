"""How many different values a column has, of a table that is read in pieces: an estimate in bounded memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from polytask.columns.hashing import keys_of, mixed
from polytask.data.inference import NEARLY_ONE_A_ROW
from polytask.fitting.storing.parts import Walked

_NUM_KEPT = 1 << 14
_RANGE = 2.0**64


@dataclass(slots=True)
class DistinctSketch:
    """The smallest hashes of the values: they lie as far apart as all of them do.

    Source: Bar-Yossef et al., RANDOM 2002. The estimate's standard error is one over the root of the
    16,384 hashes that are kept, .8 %; of no more values the count is exact.

    >>> sketch = DistinctSketch()
    >>> for start in (0, 600):
    ...     sketch.add(np.arange(start, start + 1000))
    >>> sketch.estimate, sketch.num_rows
    (1600.0, 2000)
    """

    smallest: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    num_rows: int = 0

    def add(self, keys_B: NDArray[np.int64]) -> None:
        """A number for the value of each of some rows."""
        self.num_rows += len(keys_B)
        hashes = np.union1d(self.smallest, mixed(keys_B.astype(np.uint64), 0))
        self.smallest = hashes[:_NUM_KEPT]

    @property
    def estimate(self) -> float:
        if len(self.smallest) < _NUM_KEPT:
            return float(len(self.smallest))
        return (_NUM_KEPT - 1) * _RANGE / float(self.smallest[-1])


def repeating_columns(pieces: Iterable[Walked], columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that have not nearly a value for each row of the table, as some of its rows look."""
    sketches = {name: DistinctSketch() for name in columns}
    for piece in pieces:
        row_B = np.arange(piece.table.num_rows)
        for name, sketch in sketches.items():
            keys_B = keys_of(piece.table[name], f"column {name!r}", row_B)
            sketch.add(keys_B[keys_B >= 0])
    return tuple(
        name for name, each in sketches.items() if each.estimate < NEARLY_ONE_A_ROW * each.num_rows
    )
