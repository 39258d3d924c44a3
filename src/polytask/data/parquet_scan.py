"""Parquet files in pieces: a row group's decoded columns are never in memory as a whole."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from polytask.data.scans import Scan
from polytask.errors import UserError

_PIECE_ROWS = 1 << 16
_BUFFER_BYTES = 1 << 20


def scan_of(dataset: ds.Dataset, schema: pa.Schema) -> Scan | None:
    """The files of a data set one after another; None where not all of them are Parquet.

    Each piece has the columns of the schema in its types; folders KEY=VALUE are columns.
    """
    fragments = list(dataset.get_fragments())
    if not fragments or not all(isinstance(each, ds.ParquetFileFragment) for each in fragments):
        return None

    def pieces(
        columns: Sequence[str], condition: pc.Expression | None = None
    ) -> Iterator[pa.Table]:
        wanted = pa.schema([schema.field(name) for name in columns])
        for fragment in fragments:
            yield from _pieces(fragment, wanted, _row_groups(fragment, schema, condition))

    whole = Scan(
        schema.names,
        sum(fragment.metadata.num_rows for fragment in fragments),
        pieces,
        lambda: tuple(_state(fragment) for fragment in fragments),
        tuple(_name(fragment.path) for fragment in fragments),
        schema=schema,
    )

    def narrowed(condition: pc.Expression) -> Scan:
        return replace(whole, pieces=partial(pieces, condition=condition))

    return replace(whole, narrowed=narrowed)


def _row_groups(
    fragment: ds.ParquetFileFragment, schema: pa.Schema, condition: pc.Expression | None
) -> list[int] | None:
    """The row groups that may have a row of the condition, by their lowest and highest values; None: all."""
    if condition is None:
        return None
    try:
        return [group.id for group in fragment.subset(condition, schema=schema).row_groups]
    except pa.ArrowException:
        return None


def _name(path: str) -> str:
    """The file's name, below its folders KEY=VALUE."""
    *folders, name = path.split("/")
    keys = list(takewhile(lambda folder: "=" in folder, reversed(folders)))
    return "/".join([*reversed(keys), name])


def _info(fragment: ds.ParquetFileFragment) -> fs.FileInfo:
    try:
        return fragment.filesystem.get_file_info(fragment.path)
    except OSError as error:
        raise UserError(f"{fragment.path} cannot be read: {error}") from error


def _state(fragment: ds.ParquetFileFragment) -> str:
    """What changes when a file is written anew or becomes part of another folder KEY=VALUE; the file's
    own name, for folders may move."""
    info = _info(fragment)
    if not info.is_file:
        raise UserError(f"{fragment.path} is gone")
    keys = ds.get_partition_keys(fragment.partition_expression)
    return f"{info.base_name} {keys} {info.size} {info.mtime_ns}"


def _pieces(
    fragment: ds.ParquetFileFragment, schema: pa.Schema, row_groups: list[int] | None
) -> Iterator[pa.Table]:
    """The rows of one file, in the types of the schema; what the file lacks is missing."""
    if row_groups == []:
        return
    try:
        with (
            fragment.filesystem.open_input_file(fragment.path) as opened,
            pq.ParquetFile(opened, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file,
        ):
            there = [name for name in schema.names if name in file.schema_arrow.names]
            constants = ds.get_partition_keys(fragment.partition_expression)
            for batch in file.iter_batches(_PIECE_ROWS, row_groups, columns=there):
                yield _in_types(pa.Table.from_batches([batch]), schema, constants)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{fragment.path} cannot be read: {error}") from error


def _in_types(table: pa.Table, schema: pa.Schema, constants: dict[str, object]) -> pa.Table:
    columns = []
    for field in schema:
        if field.name in table.column_names:
            column = table[field.name]
            columns.append(column if column.type == field.type else column.cast(field.type))
        elif field.name in constants:
            value = pa.scalar(constants[field.name])
            columns.append(pa.repeat(value, table.num_rows).cast(field.type))
        else:
            columns.append(pa.nulls(table.num_rows, field.type))
    return pa.Table.from_arrays(columns, schema=schema)
