"""Where values stand among others, for many questions to the same ones."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.columns.values import positions

_MANY = 1 << 14
"""Arrow makes a table of the values anew at every question, which costs more than this many answers."""


class Lookup:
    """The places of values, built once.

    >>> Lookup(pa.array([30, 10])).places(pa.array([10, 20, 30])).tolist()
    [1, -1, 0]
    """

    def __init__(self, among: pa.Array) -> None:
        self.among = among
        self.sorted_V: NDArray[np.int64] | None = None
        self.place_of: dict[object, int] | None = None
        if len(among) < _MANY:
            return
        if among.type == pa.int64():
            numbers: NDArray[np.int64] = among.to_numpy()
            self.order_V = np.argsort(numbers, kind="stable")
            self.sorted_V = numbers[self.order_V]
        else:
            self.place_of = {value: place for place, value in enumerate(among.to_pylist())}

    def places(self, values: pa.Array) -> NDArray[np.int64]:
        """The place of each value, -1 where it has none."""
        if self.sorted_V is not None and values.type == pa.int64() and not values.null_count:
            return self._among_numbers(values.to_numpy())
        if self.place_of is not None and values.type == self.among.type:
            find = self.place_of.get
            return np.array([find(value, -1) for value in values.to_pylist()], dtype=np.int64)
        return positions(values, self.among)

    def _among_numbers(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        assert self.sorted_V is not None
        found = np.searchsorted(self.sorted_V, numbers).clip(max=len(self.sorted_V) - 1)
        places: NDArray[np.int64] = np.where(
            self.sorted_V[found] == numbers, self.order_V[found], -1
        )
        return places
