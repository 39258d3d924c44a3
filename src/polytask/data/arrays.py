"""numpy arrays as columns: one of several dimensions is a column of lists of one length each."""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.data.options import ReadOptions
from polytask.data.sources import Source
from polytask.errors import UserError

_DAMAGED = (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


def column_of(array: NDArray[np.generic]) -> pa.Array:
    """The rows of an array (N, ...), without a copy where Arrow can do without.

    >>> column_of(np.zeros((2, 28, 28), dtype=np.uint8)).type
    FixedSizeListType(fixed_size_list<item: fixed_size_list<item: uint8>[28]>[28])
    """
    column = pa.array(np.ascontiguousarray(array).reshape(-1))
    for length in reversed(array.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, length)
    return column


def open_npz(paths: Sequence[Path], options: ReadOptions) -> Source:
    """Files of named arrays: those with the most rows are the columns, a note names the others."""
    files = [_arrays_of(path) for path in paths]
    left_out = {name: path for path, file in zip(paths, files) for name in file.left_out}
    told = ", ".join(f"{name} of {path.name}" for name, path in left_out.items())
    note = f"not read, since they have other rows: {told}" if left_out else ""
    return replace(Source.of_tables([file.table for file in files]), note=note)


class _File(NamedTuple):
    """The arrays with the most rows as a table, and the names of the others."""

    table: pa.Table
    left_out: Sequence[str]


def _arrays_of(path: Path) -> _File:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except _DAMAGED as error:
        raise UserError(
            f"{path} cannot be read as an .npz file of plain arrays: {error}"
        ) from error
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim > 0}
    most = max(lengths.values(), default=0)
    columns = {n: column_of(arrays[n]) for n, length in lengths.items() if length == most > 0}
    if not columns:
        raise UserError(f"{path} holds no array with rows")
    return _File(pa.table(columns), [name for name in arrays if name not in columns])
