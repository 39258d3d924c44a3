"""Rows on disk: one array of fixed-width rows for each tensor of a batch, read in runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from pydantic import TypeAdapter
from torch import Tensor

from polytask.errors import UserError
from polytask.files.reading import parse_json, read_text
from polytask.files.serial import from_record, to_record
from polytask.files.writing import write_text
from polytask.streams.array_file import ArrayFile, RowLayout
from polytask.streams.batch import Batch
from polytask.streams.named import NamedTensors

FORMAT = "polytask-rows"
VERSION = 1
_LISTING = "rows.json"
_NONE = torch.empty(0)
ROWS, GROUPS, LABELS, WEIGHTS, INPUT = "rows", "groups", "labels", "weights", "input-"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder of rows holds: how many, the arrays by the names of their files, the tasks that
    labels and weights are of, and a checksum of it all. It is written last: a folder without is none.
    """

    num_rows: int
    arrays: Mapping[str, RowLayout]
    labels: tuple[str, ...]
    weights: tuple[str, ...]
    checksum: str

    @property
    def row_bytes(self) -> int:
        """The bytes of one row on disk."""
        return sum(layout.row_bytes for layout in self.arrays.values())

    def write(self, folder: Path) -> None:
        """Into the folder of the arrays."""
        record = to_record(_adapter, self, format_name=FORMAT, version=VERSION)
        write_text(folder / _LISTING, json.dumps(record, ensure_ascii=False))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """UserError where the folder holds none."""
        path = folder / _LISTING
        if not path.is_file():
            raise UserError(f"{folder} holds no rows: there is no {_LISTING}")
        record = parse_json(read_text(path), where=str(path))
        listing = from_record(_adapter, record, format_name=FORMAT, version=VERSION)
        assert isinstance(listing, cls)
        return listing


_adapter = TypeAdapter(Listing)


@dataclass(eq=False)
class StoredRows:
    """The rows of a folder that `RowsWriter` wrote. A slice of them is read into memory as a Batch.

    `bytes_read` counts what was read.
    """

    folder: Path
    listing: Listing
    bytes_read: int = field(default=0, init=False)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """UserError where the folder holds no rows, or not all of them."""
        rows = cls(folder, Listing.read(folder))
        assert rows._files is not None
        return rows

    def __len__(self) -> int:
        return self.listing.num_rows

    def __getitem__(self, index: slice) -> Batch:
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise UserError(f"stored rows are read in runs, without steps, but {step=}")
        found = {name: self._read(name, start, max(stop, start)) for name in self.listing.arrays}
        return Batch(
            {k.removeprefix(INPUT): v for k, v in found.items() if k.startswith(INPUT)},
            NamedTensors.packed(self.listing.labels, found.get(LABELS, _NONE)),
            NamedTensors.packed(self.listing.weights, found.get(WEIGHTS, _NONE)),
            found.get(GROUPS),
            found.get(ROWS),
        )

    def _read(self, name: str, start: int, stop: int) -> Tensor:
        values = self._files[name].read(start, stop)
        self.bytes_read += values.nbytes
        return torch.from_numpy(values.astype(self.listing.arrays[name].read_as, copy=False))

    @cached_property
    def _files(self) -> dict[str, ArrayFile]:
        return {
            name: ArrayFile.open(self.folder / f"{name}.npy", layout, self.listing.num_rows)
            for name, layout in self.listing.arrays.items()
        }
