"""CSV and TSV files, plain or gzipped."""

import csv
import gzip
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from polytask.errors import UserError

_DICTIONARY_VALUES = 1000
"""Text with at most so many values a block is kept dictionary-encoded."""


@dataclass(frozen=True, slots=True)
class DelimitedFile:
    """A text table whose first line names the columns.

    A column's type is the narrowest that holds all of its values, wherever they stand. An empty
    cell is missing; so is NA, NaN or null among numbers, while among text they are values.
    """

    path: Path
    names: list[str]
    delimiter: str

    @classmethod
    def opened(cls, path: Path) -> "DelimitedFile":
        try:
            with _text(path) as lines:
                first = lines.readline()
                delimiter = _delimiter(path, first)
                lines.seek(0)
                names = next((row for row in csv.reader(lines, delimiter=delimiter) if row), [])
        except UnicodeDecodeError:
            raise _undecodable(path) from None
        if not names:
            raise UserError(f"{path} is empty: it has no header line")
        return cls(path, names, delimiter)

    def read(self, columns: Sequence[str]) -> pa.Table:
        try:
            table = self._parsed(columns, {})
        except pa.ArrowInvalid as error:
            raise self._ragged() or error from None
        except UnicodeDecodeError:
            raise _undecodable(self.path) from None
        if any(_is_bytes(column.type) for column in table.columns):
            raise _undecodable(self.path)
        self._check_last_quote(table)
        return _with_missing_text(self._with_long_ids(table))

    def _parsed(self, columns: Sequence[str], types: dict[str, pa.DataType]) -> pa.Table:
        return pa.csv.read_csv(
            self.path,
            parse_options=pa.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                include_columns=list(columns),
                column_types=types,
                auto_dict_encode=not types,
                auto_dict_max_cardinality=_DICTIONARY_VALUES,
            ),
        )

    def _with_long_ids(self, table: pa.Table) -> pa.Table:
        """Whole numbers of 2^63 and more, which Arrow reads as floats, are ids: uint64."""
        for position, field in enumerate(table.schema):
            if not pa.types.is_floating(field.type):
                continue
            if (pc.max(table[position]).as_py() or 0) < 2.0**63:
                continue
            try:
                exact = self._parsed([field.name], {field.name: pa.uint64()})
            except pa.ArrowInvalid:
                continue
            table = table.set_column(position, field.name, exact[0])
        return table

    def _ragged(self) -> UserError | None:
        """The first line with too few or too many cells, in words."""
        with _text(self.path) as lines, suppress(csv.Error):
            rows = csv.reader(lines, delimiter=self.delimiter)
            for row in rows:
                if row and len(row) != len(self.names):
                    return UserError(
                        f"{self.path}, line {rows.line_num}: {len(row)} cells where the header"
                        f" names {len(self.names)} columns: {self.delimiter.join(row)[:80]!r}"
                    )
        return None

    def _check_last_quote(self, table: pa.Table) -> None:
        """A quote that is never closed swallows the rest of the file into the last cell."""
        last = table.slice(max(table.num_rows - 1, 0)).to_pylist()
        if not any("\n" in str(value) for row in last for value in row.values()):
            return
        with _binary(self.path) as lines:
            if sum(line.count(b'"') for line in lines) % 2:
                raise UserError(f"{self.path}: a double quote is opened and never closed")


def _delimiter(path: Path, header: str) -> str:
    """A comma or, in a .tsv, a tab; a header without commas may show a semicolon or a tab."""
    if ".tsv" in path.name.lower():
        return "\t"
    if "," in header:
        return ","
    return next((other for other in ";\t" if other in header), ",")


def _binary(path: Path) -> BinaryIO:
    if path.name.lower().endswith(".gz"):
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


def _text(path: Path) -> TextIO:
    if path.name.lower().endswith(".gz"):
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def _undecodable(path: Path) -> UserError:
    with _binary(path) as lines:
        for number, line in enumerate(lines, 1):
            if number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
                return UserError(f"{path} is UTF-16 text: save it as UTF-8")
            try:
                line.decode()
            except UnicodeDecodeError:
                return UserError(
                    f"{path}, line {number}: this is no UTF-8 text: {line[:40]!r}; save the file"
                    " as UTF-8"
                )
    return UserError(f"{path} holds text that is not UTF-8")


def _is_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _with_missing_text(table: pa.Table) -> pa.Table:
    for position, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if not pa.types.is_string(kind):
            continue
        empty = pc.equal(table[position], "")
        if pc.any(empty).as_py():
            filled = pc.if_else(empty, pa.scalar(None, field.type), table[position])
            table = table.set_column(position, field.name, filled)
    return table
