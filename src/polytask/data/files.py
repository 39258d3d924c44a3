"""Parquet and Arrow files, each as: the names first, then the rows."""

import csv
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from polytask.data.options import Decimal
from polytask.errors import UserError

_DAMAGED = (pa.ArrowException, OSError, EOFError, UnicodeError, zlib.error, csv.Error)
"""What Arrow, the system, gzip and csv raise at content that they cannot make sense of."""
_MAGIC = b"PAR1"
_DICTIONARY_BYTES = 4.0
"""Text of fewer bytes a value than this can only have been written as a dictionary's indices:
plain text takes four for the length alone."""


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn what Arrow and the system say of a damaged file into a UserError."""
    try:
        yield
    except _DAMAGED as error:
        words = " ".join(str(part) for part in error.args) or type(error).__name__
        raise UserError(f"{where} cannot be read: {words}") from error


@dataclass(frozen=True, slots=True)
class ParquetFiles:
    """One Parquet file, or all of a folder's; folders named KEY=VALUE become columns."""

    dataset: ds.Dataset
    declared: frozenset[str]

    @classmethod
    def opened(cls, path: Path | Sequence[Path]) -> "ParquetFiles":
        """A file, a folder, or several files."""
        folder = path if isinstance(path, Path) and path.is_dir() else None
        files = [path] if isinstance(path, Path) else list(path)
        if folder is not None:
            files = _parquet_files(folder)
        for file in files:
            _check_parquet(file)
        options: dict[str, str | None] = {
            "partitioning": None if folder is None else "hive",
            "partition_base_dir": str(folder or files[0].parent),
        }
        names = [str(file) for file in files]
        plain = ds.dataset(names, format="parquet", **options)
        repetitive = _repetitive_text(plain)
        declared = [field.name for field in plain.schema if pa.types.is_dictionary(field.type)]
        read_options = ds.ParquetReadOptions(dictionary_columns=repetitive)
        return cls(
            ds.dataset(
                names,
                schema=_widened(plain, repetitive) if len(files) > 1 else None,
                format=ds.ParquetFileFormat(read_options=read_options),
                **options,
            ),
            frozenset(declared),
        )

    @property
    def decimal(self) -> Decimal | None:
        return None

    @property
    def names(self) -> list[str]:
        return list(self.dataset.schema.names)

    def read(self, columns: Sequence[str]) -> pa.Table:
        return self.dataset.to_table(columns=list(columns))


@dataclass(frozen=True, slots=True)
class ArrowFile:
    """An Arrow IPC file (Feather version 2), or a stream saved as a file."""

    reader: pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader

    @classmethod
    def opened(cls, path: Path) -> "ArrowFile":
        # Read, not mapped: a mapped file that another process rewrites would end this one.
        try:
            return cls(pa.ipc.open_file(pa.OSFile(str(path))))
        except pa.ArrowInvalid as error:
            try:
                return cls(pa.ipc.open_stream(pa.OSFile(str(path))))
            except pa.ArrowInvalid:
                raise UserError(f"{path} is no complete Arrow file: {error}") from None

    @property
    def decimal(self) -> Decimal | None:
        return None

    @property
    def names(self) -> list[str]:
        return list(self.reader.schema.names)

    @property
    def declared(self) -> frozenset[str]:
        return declared_categories(self.reader.schema)

    def read(self, columns: Sequence[str]) -> pa.Table:
        return self.reader.read_all().select(list(columns))


def _parquet_files(folder: Path) -> list[Path]:
    files = sorted(
        file
        for file in folder.rglob("*.parquet")
        if not any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    )
    if not files:
        raise UserError(f"{folder} is a folder without a .parquet file")
    return files


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
    text = [
        field.name
        for field in dataset.schema
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    return [name for name in text if num_bytes[name] < _DICTIONARY_BYTES * num_values[name]]


def _widened(dataset: ds.Dataset, repetitive: list[str]) -> pa.Schema:
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


def declared_categories(schema: pa.Schema) -> frozenset[str]:
    """Columns that the source itself calls categories."""
    return frozenset(field.name for field in schema if pa.types.is_dictionary(field.type))
