"""Files and frames -> one Arrow table, and clear words where that fails.

What comes out is normalised: names are unique, there is a row unless none is needed, text that is numbers is
numbers, and NaN and words for missing have become null, so that "missing" has one spelling.
"""

import csv
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.dataset as ds

from polytask.columns.required import require_columns as require_columns
from polytask.columns.required import require_names
from polytask.data.addresses import open_addresses
from polytask.data.file_columns import with_whole_paths
from polytask.data.files import of_dataset
from polytask.data.formats import open_files
from polytask.data.frames import ArrowStream, LazyFrame, as_table
from polytask.data.normalise import normalised, with_whole_numbers
from polytask.data.notes import with_note
from polytask.data.options import ReadOptions
from polytask.data.paths import is_address, matching_paths
from polytask.data.scans import Scan
from polytask.data.sources import Source
from polytask.data.text_columns import with_values_of_text
from polytask.errors import UserError

TableSource: TypeAlias = (
    str
    | Path
    | Sequence[str | Path]
    | ArrowStream
    | LazyFrame
    | Mapping[str, object]
    | Sequence[Mapping[str, object]]
    | ds.Dataset
)
"""What `read_table` takes: a path, a pattern such as log-*.parquet, paths, a frame, columns, rows."""

_AS_WRITTEN = ReadOptions()
_DAMAGED = (pa.ArrowException, OSError, EOFError, UnicodeError, zlib.error, csv.Error)
"""What Arrow, the system, gzip and csv raise at content that they cannot make sense of."""


def read_table(
    source: TableSource,
    *,
    columns: Sequence[str] | None = None,
    options: ReadOptions = _AS_WRITTEN,
    may_be_empty: bool = False,
) -> pa.Table:
    """Read a Parquet file or folder, a CSV, TSV or Arrow file, or a frame, into one table.

    columns: read these alone, in this order. Low-cardinality text of a file comes out
    dictionary-encoded (a fifth of the memory). A pandas index is no column. Text that is numbers
    becomes numbers, and words for missing become null (see `with_values_of_text`); `notes_of` the
    table tells what was changed. Other formats are read once they are known (see `register`).
    Raises UserError for everything that can be wrong with a file.

    >>> read_table({"age": ["31", "?"], "city": ["Bonn", "Kiel"]}).to_pydict()
    {'age': [31, None], 'city': ['Bonn', 'Kiel']}
    """
    paths = _paths(source)
    where = f"the {type(source).__name__}"
    if paths:
        where = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    try:
        opened = _opened(source, paths, options)
        _check_names(opened.names, where)
        raw_names = _stripped(opened.names)
        if columns is not None:
            require_names(list(raw_names), columns, where)
        names = list(raw_names if columns is None else columns)
        table = opened.read([raw_names[name] for name in names])
    except _DAMAGED as error:
        words = " ".join(str(part) for part in error.args) or type(error).__name__
        raise UserError(f"{where} cannot be read: {words}") from error
    if table.num_rows == 0 and not may_be_empty:
        raise UserError(f"{where}: the table has no rows")
    declared = {name for name in names if raw_names[name] in opened.declared}
    table = normalised(table.rename_columns(names))
    options = replace(options, decimal=options.decimal or opened.decimal)
    table = with_values_of_text(table, options, declared=declared)
    table = with_whole_numbers(table)
    if paths and options.files:
        table = with_whole_paths(table, options.files, _folder_of(paths[0]))
    return _noted(_with_names_noted(table, raw_names), opened.note)


def open_scan(source: TableSource, *, options: ReadOptions = _AS_WRITTEN) -> Scan | None:
    """The table in pieces as they are written, each of which `read_table` reads; None for formats that
    are read as a whole.

    >>> scan = open_scan({"age": [31, None, 18]})
    >>> [read_table(piece)["age"].to_pylist() for piece in scan.batches(["age"], 2)]
    [[31, None], [18]]
    """
    paths = _paths(source)
    try:
        return _opened(source, paths, options).scan
    except _DAMAGED as error:
        raise UserError(f"{paths[0] if paths else source} cannot be read: {error}") from error


def names_of_files(source: TableSource) -> tuple[str, ...]:
    """What the caller names as files, without the folders that they are in; none of a table in memory."""
    return tuple(each.name for path in _paths(source) for each in matching_paths(str(path)))


def _paths(source: TableSource) -> list[str | Path]:
    """What the caller names as files; nothing for a table in memory."""
    if isinstance(source, str | Path):
        return [source]
    if isinstance(source, list | tuple) and source and isinstance(source[0], str | Path):
        return list(source)
    return []


def _folder_of(path: str | Path) -> Path:
    first = matching_paths(str(path))[0]
    return first if first.is_dir() else first.parent


def _opened(source: TableSource, paths: Sequence[str | Path], options: ReadOptions) -> Source:
    if any(is_address(str(path)) for path in paths):
        return open_addresses(paths)
    if paths:
        return open_files([p for path in paths for p in matching_paths(str(path))], options)
    if isinstance(source, ds.Dataset):
        return of_dataset(source)
    return Source.of_tables([as_table(source, skip=options.skip)])


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


def _stripped(names: Sequence[str]) -> dict[str, str]:
    """Each name without spaces around it -> the name as it stands there; both if two would be one."""
    counts = Counter(name.strip() for name in names)
    return {name.strip() if counts[name.strip()] == 1 else name: name for name in names}


def _noted(table: pa.Table, note: str) -> pa.Table:
    return table.set_column(0, with_note(table.schema.field(0), note), table[0]) if note else table


def _with_names_noted(table: pa.Table, raw_names: Mapping[str, str]) -> pa.Table:
    for position, field in enumerate(table.schema):
        raw = raw_names[field.name]
        if raw != field.name:
            noted = with_note(field, f"the name had spaces around it: {raw!r}")
            table = table.set_column(position, noted, table[position])
    return table
