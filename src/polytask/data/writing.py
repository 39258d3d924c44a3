"""Tables -> files, in the format that the file's name says."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from polytask.errors import UserError
from polytask.files.plain import require_plain
from polytask.files.writing import make_folder, written_whole


class Sink(Protocol):
    """A file that takes tables one below the other."""

    def write_table(self, table: pa.Table, /) -> object: ...
    def close(self) -> object: ...


Writer = Callable[[BinaryIO, pa.Schema], Sink]
"""An open file and what its tables are like -> what takes tables one after another."""


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
            if (
                source.exists() and path.samefile(source)
            ) or source.resolve() in path.resolve().parents:
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
    write_tables([table], path)


def write_tables(tables: Iterable[pa.Table], path: Path) -> int:
    """The same of tables of the same columns, one below the other; how many rows they had.

    Each is made when the one before is written.
    """
    open_sink = writer_of(path)
    make_folder(path.parent)
    num_rows = 0
    sink: Sink | None = None
    schema = None
    with written_whole(path) as file:
        try:
            for table in tables:
                schema = schema or table.schema
                sink = sink or open_sink(file, schema)
                sink.write_table(table.cast(schema))
                num_rows += table.num_rows
        finally:
            if sink is not None:
                sink.close()
    return num_rows


def _open_arrow(file: BinaryIO, schema: pa.Schema) -> Sink:
    sink: Sink = pa.ipc.new_file(file, schema)
    return sink


def _open_csv(file: BinaryIO, schema: pa.Schema) -> Sink:
    for field in schema:
        if pa.types.is_nested(field.type):
            raise UserError(
                f"column {field.name!r} ({field.type}) has no place in a CSV file; write .parquet"
            )
    sink: Sink = pyarrow.csv.CSVWriter(file, schema)
    return sink


_WRITERS: dict[str, Writer] = {
    ".parquet": pq.ParquetWriter,
    ".csv": _open_csv,
    ".arrow": _open_arrow,
    ".feather": _open_arrow,
}
