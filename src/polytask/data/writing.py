"""Tables -> files, in the format that the file's name says."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

from polytask.errors import UserError
from polytask.files.plain import require_plain
from polytask.files.writing import make_folder, written_whole

Writer = Callable[[pa.Table, BinaryIO], None]


def writer_of(path: Path) -> Writer:
    """What writes the format that the extension says; UserError for any other one.

    >>> writer_of(Path("scores.arrow")) is writer_of(Path("scores.feather"))
    True
    """
    found = _WRITERS.get(path.suffix.lower())
    if found is None:
        raise UserError(
            f"{path}: {path.suffix or 'a name without an extension'} is not a format that is written;"
            f" these are: {', '.join(_WRITERS)}"
        )
    return found


def check_target(path: Path, *, sources: Sequence[Path], overwrite: bool) -> None:
    """UserError unless a table may be written there: before the work is done whose result it holds.

    What stands there goes with `overwrite` alone, and only if it is a plain file that is none of the
    tables that are read.
    """
    writer_of(path)
    if require_plain(path):
        for source in sources:
            if path.samefile(source) or source.resolve() in path.resolve().parents:
                raise UserError(f"{path}: this is the table that is read; name another --out")
        if not overwrite:
            raise UserError(f"{path}: the file exists; pass --overwrite or name another --out")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise UserError(f"{path}: {above} is no folder")
    if not os.access(above, os.W_OK):
        raise UserError(f"{path}: nothing can be written to {above}")


def write_table(table: pa.Table, path: Path) -> None:
    """Write the table as a whole or not at all; UserError where the format cannot hold a column."""
    write = writer_of(path)
    make_folder(path.parent)
    with written_whole(path) as file:
        write(table, file)


def _write_parquet(table: pa.Table, file: BinaryIO) -> None:
    pq.write_table(table, file)


def _write_arrow(table: pa.Table, file: BinaryIO) -> None:
    pyarrow.feather.write_feather(table, file, compression="uncompressed")


def _write_csv(table: pa.Table, file: BinaryIO) -> None:
    for field in table.schema:
        if pa.types.is_nested(field.type):
            raise UserError(
                f"column {field.name!r} ({field.type}) has no place in a CSV file; write .parquet"
            )
    pyarrow.csv.write_csv(table, file)


_WRITERS: dict[str, Writer] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".arrow": _write_arrow,
    ".feather": _write_arrow,
}
