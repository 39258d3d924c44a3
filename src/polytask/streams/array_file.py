"""A .npy file of rows of one width, of which runs are read and written in place."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from polytask.errors import UserError
from polytask.files.writing import CannotWriteError


@dataclass(frozen=True, slots=True)
class RowLayout:
    """The rows of a file: their dtype on disk and in memory, and the shape of one."""

    dtype: str
    read_as: str
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """`num_rows` rows behind a header of NumPy's, open until `close`.

    They are read and written by the system's calls, not mapped: memory holds what is asked for.
    """

    path: Path
    layout: RowLayout
    num_rows: int
    descriptor: int
    begin: int

    @classmethod
    def create(cls, path: Path, layout: RowLayout, num_rows: int) -> Self:
        """A file for so many rows, none of which is written yet."""
        header = {
            "descr": npy.dtype_to_descr(np.dtype(layout.dtype)),
            "fortran_order": False,
            "shape": (num_rows, *layout.shape),
        }
        try:
            with path.open("xb") as file:
                npy.write_array_header_2_0(file, header)
                begin = file.tell()
            descriptor = os.open(path, os.O_RDWR)
        except OSError as error:
            raise CannotWriteError(f"{path}: it cannot be written: {error.strerror}") from error
        return cls(path, layout, num_rows, descriptor, begin)

    @classmethod
    def open(cls, path: Path, layout: RowLayout, num_rows: int) -> Self:
        """UserError where the file is gone, cut short, or of other rows."""
        try:
            with path.open("rb") as file:
                npy.read_magic(file)
                shape, _, dtype = npy.read_array_header_2_0(file)
                begin = file.tell()
            descriptor = os.open(path, os.O_RDONLY)
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: it cannot be read: {error}") from error
        is_whole = os.fstat(descriptor).st_size == begin + num_rows * layout.row_bytes
        if not is_whole or shape != (num_rows, *layout.shape) or dtype != np.dtype(layout.dtype):
            os.close(descriptor)
            raise UserError(f"{path} is cut short, or of other rows: remove {path.parent.parent}")
        return cls(path, layout, num_rows, descriptor, begin)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The rows of a run."""
        values = np.empty((stop - start, *self.layout.shape), dtype=self.layout.dtype)
        view, done = values.reshape(-1).view(np.uint8).data, 0
        offset = self.begin + start * self.layout.row_bytes
        while done < len(view):
            try:
                number = os.preadv(self.descriptor, [view[done:]], offset + done)
            except OSError as error:
                raise UserError(f"{self.path}: it cannot be read: {error.strerror}") from error
            if number == 0:
                raise UserError(f"{self.path} has become shorter while it was read")
            done += number
        return values

    def write(self, start: int, values: NDArray[Any]) -> None:
        """Rows from a place on; CannotWriteError where the disk is full."""
        view, done = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data, 0
        offset = self.begin + start * self.layout.row_bytes
        try:
            while done < len(view):
                done += os.pwrite(self.descriptor, view[done:], offset + done)
        except OSError as error:
            raise CannotWriteError(f"{self.path}: {error.strerror}") from error

    def close(self, *, to_disk: bool = False) -> None:
        """`to_disk`: not before the system has written all of it."""
        if to_disk:
            os.fsync(self.descriptor)
        os.close(self.descriptor)
