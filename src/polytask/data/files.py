"""Parquet and Arrow files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from polytask.columns.values import is_text
from polytask.data.options import ReadOptions
from polytask.data.parquet_scan import scan_of
from polytask.data.sources import Source
from polytask.errors import UserError

_MAGIC = b"PAR1"
_DICTIONARY_BYTES = 4.0
"""Text of fewer bytes a value than this can only have been written as a dictionary's indices:
plain text takes four for the length alone."""


def open_parquet(paths: Sequence[Path], options: ReadOptions) -> Source:
    """One Parquet file, several, or all of a folder's; folders named KEY=VALUE become columns."""
    folder = paths[0] if len(paths) == 1 and paths[0].is_dir() else None
    files = paths if folder is None else _parquet_files(folder)
    files, note = _sound(files, skips=options.on_bad_file == "skip")
    names = [str(file) for file in files]
    layout: dict[str, str | None] = {
        "partitioning": None if folder is None else "hive",
        "partition_base_dir": str(folder or files[0].parent),
    }
    plain = ds.dataset(names, format="parquet", **layout)
    repetitive = _repetitive_text(plain)
    read_options = ds.ParquetReadOptions(dictionary_columns=repetitive)
    dataset = ds.dataset(
        names,
        schema=widened(plain, repetitive) if len(files) > 1 else None,
        format=ds.ParquetFileFormat(read_options=read_options),
        **layout,
    )
    scan = scan_of(plain, widened(plain, []) if len(files) > 1 else plain.schema)
    source = replace(of_dataset(dataset), declared=of_dataset(plain).declared, note=note)
    return replace(source, scan=None if scan is None else replace(scan, note=note))


def of_dataset(dataset: ds.Dataset) -> Source:
    """A `pyarrow.dataset.Dataset`, of which only the columns that are asked for are read."""
    source = Source.of(dataset.schema, lambda columns: dataset.to_table(columns=list(columns)))
    return replace(source, scan=scan_of(dataset, dataset.schema))


def open_arrow(paths: Sequence[Path], options: ReadOptions) -> Source:
    """Arrow IPC files (Feather version 2), or streams saved as files."""
    return Source.of_tables([_arrow_reader(path).read_all() for path in paths])


def _arrow_reader(path: Path) -> pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader:
    # Read, not mapped: a mapped file that another process rewrites would end this one.
    try:
        return pa.ipc.open_file(pa.OSFile(str(path)))
    except pa.ArrowInvalid as error:
        try:
            return pa.ipc.open_stream(pa.OSFile(str(path)))
        except pa.ArrowInvalid:
            raise UserError(f"{path} is no complete Arrow file: {error}") from None


def _parquet_files(folder: Path) -> list[Path]:
    files = sorted(
        file
        for file in folder.rglob("*.parquet")
        if not any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    )
    if not files:
        raise UserError(f"{folder} is a folder without a .parquet file")
    return files


def _sound(files: Sequence[Path], *, skips: bool) -> tuple[list[Path], str]:
    """The files that can be opened, and a note on those that are left out; UserError at the first one
    unless broken files are to be skipped."""
    sound, broken = [], []
    for file in files:
        try:
            _check_parquet(file)
            sound.append(file)
        except UserError as error:
            if len(files) == 1:
                raise
            if not skips:
                hint = f"--on-bad-file=skip leaves it out of {len(files)} files"
                raise UserError(f"{error.message}; {hint}") from error
            broken.append(error.message)
    if not sound:
        raise UserError(f"none of {len(files)} files can be read: {broken[0]}")
    return sound, f"{len(broken)} of {len(files)} files left out: {broken[0]}" if broken else ""


def _check_parquet(file: Path) -> None:
    with file.open("rb") as content:
        head = content.read(4)
        content.seek(max(content.seek(0, 2) - 4, 0))
        tail = content.read(4)
    if not head:
        raise UserError(f"{file} is empty (0 bytes)")
    if head != _MAGIC:
        raise UserError(f"{file} is no Parquet file: it begins with {head!r}, not {_MAGIC!r}")
    if tail != _MAGIC:
        raise UserError(f"{file} is cut short: a Parquet file ends with {_MAGIC!r}; copy it again")
    try:
        pq.read_metadata(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error


def _repetitive_text(dataset: ds.Dataset) -> list[str]:
    """Text columns of which the files' own figures show few values."""
    num_bytes: Counter[str] = Counter()
    num_values: Counter[str] = Counter()
    for fragment in dataset.get_fragments():
        metadata = fragment.metadata
        for index in range(metadata.num_row_groups):
            group = metadata.row_group(index)
            for column in (group.column(place) for place in range(group.num_columns)):
                num_bytes[column.path_in_schema] += column.total_uncompressed_size
                num_values[column.path_in_schema] += column.num_values
    text = [field.name for field in dataset.schema if is_text(field.type)]
    return [name for name in text if num_bytes[name] < _DICTIONARY_BYTES * num_values[name]]


def widened(dataset: ds.Dataset, repetitive: list[str]) -> pa.Schema:
    """The union of the files' columns, each in a type that holds all of them."""
    schema = dataset.schema
    for fragment in dataset.get_fragments():
        try:
            both = [schema, fragment.physical_schema]
            schema = pa.unify_schemas(both, promote_options="permissive")
        except pa.ArrowException as error:
            raise UserError(f"{fragment.path} does not match the files before: {error}") from error
    for name in repetitive:
        field = pa.field(name, pa.dictionary(pa.int32(), pa.string()))
        schema = schema.set(schema.get_field_index(name), field)
    return schema
