"""Files and frames -> one Arrow table, and clear words where that fails.

What comes out is tidy: names are unique, there is at least one row, and NaN has become null, so that
"missing" has one spelling in the whole room.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import pyarrow as pa

from polytask.columns.required import require_columns as require_columns
from polytask.columns.required import require_names
from polytask.data.delimited import DelimitedFile
from polytask.data.files import ArrowFile, ParquetFiles, reading
from polytask.data.frames import ArrowStream, Frame
from polytask.data.tidy import tidied
from polytask.errors import UserError, nearest

DELIMITED = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
ARROW = (".arrow", ".feather", ".ipc")


TableSource: TypeAlias = str | Path | ArrowStream
"""What `read_table` takes; `pa.Table` is an ArrowStream too."""


class Source(Protocol):
    """Something opened, of which the names are known before the rows are read."""

    @property
    def names(self) -> list[str]: ...

    def read(self, columns: Sequence[str]) -> pa.Table: ...


def read_table(source: TableSource, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file or folder, a CSV, TSV or Arrow file, or a frame, into one tidy table.

    columns: read these alone, in this order. Low-cardinality text of a file comes out
    dictionary-encoded (a fifth of the memory). A pandas index is no column.
    Raises UserError for everything that can be wrong with a file.
    """
    where = str(source) if isinstance(source, str | Path) else f"the {type(source).__name__}"
    with reading(where):
        opened = _opened(source)
        names = opened.names
        _check_names(names, where)
        if columns is not None:
            require_names(names, columns, where)
        table = opened.read(names if columns is None else columns)
    if table.num_rows == 0:
        raise UserError(f"{where}: the table has no rows")
    return tidied(table)


def _check_names(names: Sequence[str], where: str) -> None:
    if not names:
        raise UserError(f"{where}: the table has no columns")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if not repeated:
        return
    told = ", ".join(repr(name) for name in repeated[:5])
    hint = ""
    if any(name.strip().lstrip("-").replace(".", "", 1).isdigit() for name in repeated):
        hint = " (numbers as names: does the file lack a header line?)"
    raise UserError(f"{where}: duplicate column names: {told}{hint}; rename them in the file")


def _opened(source: TableSource) -> Source:
    if isinstance(source, str | Path):
        return _opened_path(Path(source).expanduser())
    if isinstance(source, ArrowStream):
        return Frame.opened(source)
    raise UserError(
        f"cannot read a table from a {type(source).__name__}: pass a path, or a pyarrow, pandas or"
        " polars table (of a LazyFrame, its .collect())"
    )


def _opened_path(path: Path) -> Source:
    _check_path(path)
    name = path.name.lower()
    if path.is_dir() or name.endswith(".parquet"):
        return ParquetFiles.opened(path)
    if name.endswith(DELIMITED):
        return DelimitedFile.opened(path)
    if name.endswith(ARROW):
        return ArrowFile.opened(path)
    raise UserError(
        f"{path}: unknown extension {''.join(path.suffixes[-2:])!r}; a table is a .parquet file or"
        f" folder, or ends with {', '.join((*DELIMITED, *ARROW))}"
    )


def _check_path(path: Path) -> None:
    if not path.exists():
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if folder != path.absolute().parent:
            raise UserError(f"{path} does not exist: there is no folder {path.parent}")
        tables = (".parquet", *DELIMITED, *ARROW)
        near = [entry.name for entry in folder.iterdir() if entry.name.lower().endswith(tables)]
        raise UserError(f"{path} does not exist{nearest(path.name, sorted(near))}")
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes)")
