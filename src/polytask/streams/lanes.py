"""Rows too many for memory: every epoch in another order, of which few rows are held at a time."""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from polytask.errors import UserError
from polytask.streams.batch import Batch, part_of
from polytask.streams.stream import WHOLE, Part, Stream

WINDOW_ROWS = 1 << 18
"""Rows that are held, and among which a batch's rows are drawn."""
_MOST_LANES = 64
_MOST_HELD = 2
"""Windows whose rows are held: a batch may have rows of two."""


class Sliceable(Protocol):
    """Rows of which a run is read at a time: a Batch, or rows on disk."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: slice, /) -> Batch: ...


class LaneStream(Stream):
    """Rows that lie in random order already, in batches of every lane's next rows.

    The rows are cut into lanes, one after the other, and a batch takes its rows from all of them in
    turn. An epoch reads each lane as a ring from a random start, in blocks whose order is random, and
    each block in random order: all of it is a function of (seed, epoch), so that any batch is read
    without those before it. The k-th of n parts of a batch are the rows of the k-th share of the
    lanes: a rank reads its own rows alone. While a window of blocks, one a lane, is trained on, the
    next one is read.

    >>> table = Batch({"x": torch.arange(100)}, rows=torch.arange(100))
    >>> stream = LaneStream(table, batch_size=16, window_rows=32)
    >>> found = [stream.batch(seed=0, epoch=3, index=i) for i in range(stream.num_batches(3))]
    >>> [len(batch) for batch in found]
    [16, 16, 16, 16, 16, 16, 4]
    >>> sorted(Batch.joined(found).rows.tolist()) == list(range(100))
    True
    """

    def __init__(
        self, table: Sliceable, batch_size: int, *, window_rows: int = WINDOW_ROWS
    ) -> None:
        if batch_size < 1:
            raise UserError(f"a batch needs one row or more, but {batch_size=}")
        if len(table) == 0:
            raise UserError("there are no rows to make batches of")
        self.table, self.batch_size, self.window_rows = table, batch_size, window_rows
        self.lanes = _Lanes.of(len(table), batch_size, window_rows)
        self._held: dict[_Place, _Window] = {}
        self._ahead: tuple[_Place, Future[_Window]] | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="polytask-reader")

    def num_batches(self, epoch: int) -> int:
        return -(-len(self.table) // self.batch_size)

    def num_rows(self, seed: int, epoch: int, index: int) -> int:
        return len(self._positions(index))

    def batch(self, seed: int, epoch: int, index: int, part: Part = WHOLE) -> Batch:
        """A part has the next rows in the order of lanes: those of a share of them, where all are full."""
        chosen = self.lanes.chosen(self._positions(index))
        mine = part_of(range(len(chosen.row_B)), *part)
        if not mine:
            return replace(self.table[0:1], is_stand_in=True)
        own = self.lanes.share(*part)
        pieces = []
        for window, lanes, some in chosen.only(mine).by_window(own):
            place = _Place(seed, epoch, window, lanes)
            rows_B = self._window(place, reads_on=lanes == own).rows_at(some)
            pieces.append(rows_B)
        return Batch.joined(pieces)

    def _positions(self, index: int) -> range:
        if not 0 <= index < self.num_batches(0):
            raise UserError(f"there is no batch {index} in an epoch of {self.num_batches(0)}")
        start = index * self.batch_size
        return range(start, min(start + self.batch_size, len(self.table)))

    def _window(self, place: "_Place", *, reads_on: bool) -> "_Window":
        """A window that is held, was read ahead, or is read now; and the next one is begun."""
        if place in self._held:
            return self._held[place]
        if self._ahead is not None and self._ahead[0] == place:
            window = self._ahead[1].result()
        else:
            window = self._read(place)
        self._held[place] = window
        num_held = sum(len(each.rows) for each in self._held.values())
        while len(self._held) > 1 and num_held > _MOST_HELD * self.window_rows:
            num_held -= len(self._held.pop(next(iter(self._held))).rows)
        following = place._replace(number=place.number + 1)
        if reads_on and following.number < self.lanes.num_windows:
            self._ahead = following, self._reader.submit(self._read, following)
        return window

    def _read(self, place: "_Place") -> "_Window":
        runs, order_LK = self.lanes.window(place)
        rows = Batch.joined([self.table[run.start : run.stop] for run in runs])
        return _Window(rows, place.lanes, order_LK)


class _Place(NamedTuple):
    seed: int
    epoch: int
    number: int
    lanes: range


class _Chosen(NamedTuple):
    """Rows by the window, the lane and the row of its block there, in ascending order."""

    window_B: NDArray[np.int64]
    lane_B: NDArray[np.int64]
    row_B: NDArray[np.int64]

    def only(self, rows: range) -> "_Chosen":
        """Some consecutive ones."""
        return _Chosen(*(each_B[rows.start : rows.stop] for each_B in self))

    def by_window(self, own: range) -> "Iterator[tuple[int, range, _Chosen]]":
        """Those of a window and of lanes that are read together: `own`, and others by themselves."""
        place_B = (self.lane_B >= own.start).astype(np.int64) + (self.lane_B >= own.stop)
        cuts = np.flatnonzero(np.diff(self.window_B * 3 + place_B)) + 1
        for start, stop in itertools.pairwise([0, *cuts.tolist(), len(self.row_B)]):
            is_own = place_B[start] == 1
            lanes = own if is_own else range(self.lane_B[start], self.lane_B[stop - 1] + 1)
            yield int(self.window_B[start]), lanes, self.only(range(start, stop))


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """Rows of some lanes that are held, and where the first, second, ... row of each one stands."""

    rows: Batch
    lanes: range
    order_LK: NDArray[np.int64]

    def rows_at(self, chosen: _Chosen) -> Batch:
        """The chosen rows, which are of these lanes."""
        places_B = self.order_LK[chosen.lane_B - self.lanes.start, chosen.row_B]
        return self.rows[torch.from_numpy(places_B)]


@dataclass(frozen=True, slots=True)
class _Lanes:
    """`number` runs of rows, equal up to one row, and the order in which an epoch reads them."""

    num_rows: int
    number: int
    block: int

    @classmethod
    def of(cls, num_rows: int, batch_size: int, window_rows: int) -> "_Lanes":
        """A power of two of lanes; where it divides the batches, these divide the windows."""
        number = min(_MOST_LANES, 1 << (min(batch_size, num_rows).bit_length() - 1))
        unit = batch_size // number if batch_size % number == 0 else 1
        return cls(num_rows, number, max(window_rows // number // unit, 1) * unit)

    def share(self, place: int, count: int) -> range:
        """The lanes that the `place`-th of `count` parts of a full batch has rows of."""
        return range(self.number * place // count, -(-self.number * (place + 1) // count))

    def chosen(self, positions: range) -> _Chosen:
        """Positions of an epoch, whose p-th row is the (p // number)-th of a lane."""
        row_B, lane_B = np.divmod(np.arange(positions.start, positions.stop), self.number)
        window_B = np.minimum(row_B // self.block, self.num_blocks)
        order_B = np.lexsort((row_B, lane_B, window_B))
        return _Chosen(
            *(each[order_B] for each in (window_B, lane_B, row_B - window_B * self.block))
        )

    def run(self, lane: int) -> range:
        """The rows of a lane; the first lanes have the rows that are left over."""
        size, more = divmod(self.num_rows, self.number)
        start = lane * size + min(lane, more)
        return range(start, start + size + (lane < more))

    @property
    def num_blocks(self) -> int:
        """Whole blocks of every lane; what is left of a lane is its tail."""
        return (self.num_rows // self.number) // self.block

    @property
    def num_windows(self) -> int:
        return self.num_blocks + (self.num_blocks * self.block * self.number < self.num_rows)

    def window(self, place: _Place) -> tuple[list[range], NDArray[np.int64]]:
        """The runs of rows of a window, and by lane the order of the rows that they hold."""
        drawn = np.random.default_rng([place.seed, place.epoch, 0])
        starts = drawn.integers(np.iinfo(np.int64).max, size=self.number)
        blocks = drawn.permuted(np.tile(np.arange(self.num_blocks), (self.number, 1)), axis=1)
        runs: list[range] = []
        orders: list[NDArray[np.int64]] = []
        num_held = 0
        for lane in place.lanes:
            own = self.run(lane)
            is_tail = place.number == self.num_blocks
            block = self.num_blocks if is_tail else int(blocks[lane, place.number])
            size = len(own) - self.num_blocks * self.block if is_tail else self.block
            first = int(starts[lane]) % max(len(own), 1) + block * self.block
            runs += _on_a_ring(own, first, size)
            inside = np.random.default_rng([place.seed, place.epoch, 1, place.number, lane])
            orders.append(inside.permutation(size) + num_held)
            num_held += size
        most = max(map(len, orders))
        return runs, np.stack([np.pad(each, (0, most - len(each))) for each in orders])


def _on_a_ring(lane: range, first: int, size: int) -> Sequence[range]:
    """`size` rows of a lane from a place on, which begins anew behind its end."""
    if size == 0:
        return []
    start = first % len(lane)
    whole = lane[start : start + size]
    rest = size - len(whole)
    return [whole, lane[:rest]] if rest else [whole]
