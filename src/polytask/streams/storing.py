"""Writing rows to disk in random order, piece by piece, in bounded memory."""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.streams.array_file import ArrayFile, RowLayout
from polytask.streams.batch import Batch
from polytask.streams.stored import GROUPS, INPUT, LABELS, ROWS, WEIGHTS, Listing, StoredRows

_LANE_BYTES = 1 << 27
"""What is held, twice, while a lane is put into random order."""


class RowsWriter:
    """Rows that come in any order -> a folder of them in random order, a function of the seed.

    Every piece is dealt into lanes at random, and at the end each lane is read, permuted whole and
    written back: any run of the rows is then a random sample of all, however the table was sorted.
    Memory holds a piece, and then a lane.

    >>> import tempfile
    >>> table = Batch({"x": torch.arange(6)}, {"click": torch.zeros(6)}, rows=torch.arange(6))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = RowsWriter(Path(folder) / "train", num_rows=6, seed=0)
    ...     for start in (0, 4):
    ...         writer.add(table[start : start + 4])
    ...     stored = writer.finish()
    ...     sorted(stored[0:6].rows.tolist())
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(
        self, folder: Path, *, num_rows: int, seed: int, lane_bytes: int = _LANE_BYTES
    ) -> None:
        self.folder, self.num_rows, self.seed, self.lane_bytes = folder, num_rows, seed, lane_bytes
        self.num_added, self.num_lanes = 0, 1
        self.files: dict[str, ArrayFile] = {}
        self.labels: tuple[str, ...] = ()
        self.weights: tuple[str, ...] = ()
        folder.mkdir(parents=True)

    def add(self, rows: Batch) -> None:
        """Deal some rows; all pieces have the same names and types."""
        if len(rows) == 0:
            return
        if self.num_added + len(rows) > self.num_rows:
            raise ValueError(f"more than the {self.num_rows:,} rows that were announced")
        arrays = dict(_arrays_of(rows))
        if not self.files:
            self._create(rows, arrays)
        order_B = np.random.default_rng([self.seed, 2, self.num_added]).permutation(len(rows))
        for lane in range(self.num_lanes):
            # The p-th row of all goes into lane p % L, as its (p // L)-th.
            first = (lane - self.num_added) % self.num_lanes
            chosen_B = order_B[first :: self.num_lanes]
            place = self._start(lane) + (self.num_added + first) // self.num_lanes
            for name, values in arrays.items():
                self.files[name].write(place, values.take(chosen_B, axis=0))
        self.num_added += len(rows)

    def finish(self) -> StoredRows:
        """Permute each lane, and write down what is there."""
        if self.num_added != self.num_rows:
            raise ValueError(f"{self.num_added:,} rows of the {self.num_rows:,} announced")
        checksum = hashlib.sha256()
        for lane in range(self.num_lanes):
            start, stop = self._start(lane), self._start(lane + 1)
            order_B = np.random.default_rng([self.seed, 3, lane]).permutation(stop - start)
            for file in self.files.values():
                values = file.read(start, stop).take(order_B, axis=0)
                file.write(start, values)
                checksum.update(values.data)
        for file in self.files.values():
            file.close(to_disk=True)
        layouts = {name: file.layout for name, file in self.files.items()}
        digest = checksum.hexdigest()[:16]
        Listing(self.num_rows, layouts, self.labels, self.weights, digest).write(self.folder)
        return StoredRows.open(self.folder)

    def _start(self, lane: int) -> int:
        """Where a lane begins: the first lanes have the rows that are left over."""
        size, more = divmod(self.num_rows, self.num_lanes)
        return lane * size + min(lane, more)

    def _create(self, rows: Batch, arrays: dict[str, NDArray[Any]]) -> None:
        self.labels, self.weights = tuple(rows.labels), tuple(rows.weights)
        for name, values in arrays.items():
            read_as = "int64" if values.dtype == np.int32 else str(values.dtype)
            layout = RowLayout(str(values.dtype), read_as, values.shape[1:])
            path = self.folder / f"{name}.npy"
            self.files[name] = ArrayFile.create(path, layout, self.num_rows)
        widest = max(file.layout.row_bytes for file in self.files.values())
        self.num_lanes = max(math.ceil(self.num_rows * widest / self.lane_bytes), 1)


def bytes_on_disk(rows: Batch) -> int:
    """What one row takes."""
    return sum(values.nbytes for _, values in _arrays_of(rows[:1]))


def _arrays_of(rows: Batch) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays of a batch by the names of their files."""
    for name, tensor in rows.inputs.items():
        yield f"{INPUT}{name}", _narrow(tensor)
    for name, named in ((LABELS, rows.labels), (WEIGHTS, rows.weights)):
        if named:
            yield name, torch.stack([*named.values()], dim=1).numpy()
    for name, codes in ((GROUPS, rows.groups), (ROWS, rows.rows)):
        if codes is not None:
            yield name, codes.numpy()


def _narrow(tensor: Tensor) -> NDArray[Any]:
    """Ids of inputs in 32 bits: there are fewer of them than that."""
    return (tensor.int() if tensor.dtype == torch.int64 else tensor).numpy()
