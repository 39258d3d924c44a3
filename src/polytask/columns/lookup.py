"""Where values stand among others, for many questions to the same ones."""

from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.columns.values import positions

_MANY = 1 << 14
"""Arrow makes a table of the values anew at every question, which costs more than this many answers."""
_AT_ONCE = 1 << 20
"""Of so many values the copies that a search makes are held."""


class Lookup:
    """The places of values, which are sorted once.

    >>> Lookup(pa.array([30, 10])).places(pa.array([10, 20, 30])).tolist()
    [1, -1, 0]
    """

    def __init__(self, among: pa.Array) -> None:
        self.among = among

    def places(self, values: pa.Array) -> NDArray[np.int64]:
        """The place of each value, -1 where it has none."""
        is_many = len(self.among) >= _MANY and values.type == self.among.type
        if not is_many or values.null_count or not _can_search(values.type):
            return positions(values, self.among)
        starts = range(0, len(values), _AT_ONCE)
        found = [self._searched(values.slice(start, _AT_ONCE)) for start in starts]
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def _searched(self, values: pa.Array) -> NDArray[np.int64]:
        among, order_V = self._sorted
        if values.type == pa.int64():
            numbers, known = values.to_numpy(), among.to_numpy()
            found = np.searchsorted(known, numbers).clip(max=len(known) - 1)
            is_same = known[found] == numbers
        else:
            found = pc.search_sorted(among, values).to_numpy().astype(np.int64)
            found = found.clip(max=len(among) - 1)
            is_same = pc.equal(among.take(pa.array(found)), values)
            is_same = is_same.to_numpy(zero_copy_only=False)
        places: NDArray[np.int64] = np.where(is_same, order_V[found].astype(np.int64), -1)
        return places

    @cached_property
    def _sorted(self) -> tuple[pa.Array, NDArray[np.uint32]]:
        """The values in ascending order, and where each of them stands among all."""
        order = pc.sort_indices(self.among).cast(pa.uint32())
        return self.among.take(order), order.to_numpy()


def _can_search(dtype: pa.DataType) -> bool:
    """Older Arrows do not search sorted text."""
    return bool(
        dtype == pa.int64() or (dtype == pa.large_string() and hasattr(pc, "search_sorted"))
    )
