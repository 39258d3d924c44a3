"""Text tables: CSV, TSV and such, plain or compressed, one or many."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from polytask.columns.values import is_text
from polytask.data.dialect import Dialect, compression_of, dialect_of, opened_bytes, opened_text
from polytask.data.names import is_code
from polytask.data.options import Decimal, ReadOptions
from polytask.data.spelled import narrowed, narrowed_float
from polytask.errors import UserError

_DICTIONARY_VALUES = 1000
"""Text with at most so many values a block is kept dictionary-encoded."""


@dataclass(frozen=True, slots=True)
class DelimitedFile:
    """A text table whose first line names the columns.

    A column's type is the narrowest that holds all of its values, wherever they stand. An empty
    cell is missing. Columns whose name says a code keep every spelling apart, and whole numbers
    with zeros in front are text.
    """

    path: Path
    dialect: Dialect
    options: ReadOptions

    @classmethod
    def opened(cls, path: Path, options: ReadOptions) -> "DelimitedFile":
        try:
            dialect = dialect_of(path, options)
        except UnicodeError:
            raise _undecodable(path, options) from None
        return cls(path, dialect, options)

    @property
    def names(self) -> list[str]:
        return self.dialect.names

    @property
    def declared(self) -> frozenset[str]:
        return frozenset()

    @property
    def decimal(self) -> Decimal | None:
        """A comma where the first lines show it; a point proves nothing of quoted text."""
        return "," if self.dialect.decimal == "," else None

    def read(self, columns: Sequence[str]) -> pa.Table:
        codes = {name for name in columns if self._is_code(name)}
        texts = {name for name in columns if self._is_text(name)}
        try:
            table = self._parsed(columns, dict.fromkeys(codes | texts, pa.string()))
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                raise UserError(f"{self.path}: the table has no rows") from None
            raise self._ragged() or error from None
        if any(_is_bytes(column.type) for column in table.columns):
            raise _undecodable(self.path, self.options)
        self._check_last_quote(table)
        for position, name in enumerate(columns):
            column = table[position]
            if name in codes - texts:
                column = narrowed(column)
            elif pa.types.is_floating(column.type):
                column = narrowed_float(column, partial(self._as_text, name))
            if column is not table[position]:
                table = table.set_column(position, name, column)
        return _with_missing_text(table)

    def _is_code(self, name: str) -> bool:
        is_named = is_code(name.strip()) or name.strip() in self.options.codes
        return is_named and name in self.dialect.numeric

    def _is_text(self, name: str) -> bool:
        if name.strip() in self.options.numbers:
            return False
        return name.strip() in self.options.text or name in self.dialect.padded

    def _as_text(self, name: str) -> pa.ChunkedArray:
        return self._parsed([name], {name: pa.string()})[0]

    def _parsed(self, columns: Sequence[str], types: dict[str, pa.DataType]) -> pa.Table:
        is_plain = compression_of(self.path) is None
        return pa.csv.read_csv(
            # Opened here, for of a path Arrow believes the ending.
            pa.OSFile(str(self.path)) if is_plain else opened_bytes(self.path),
            # By this one name Arrow reads without decoding first.
            read_options=pa.csv.ReadOptions(
                encoding="utf8" if self.options.is_utf8 else self.options.encoding
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=self.dialect.delimiter, newlines_in_values=True
            ),
            convert_options=pa.csv.ConvertOptions(
                include_columns=list(columns),
                column_types=types,
                auto_dict_encode=True,
                auto_dict_max_cardinality=_DICTIONARY_VALUES,
                decimal_point=self.dialect.decimal,
            ),
        )

    def _ragged(self) -> UserError | None:
        """The first line with too few or too many cells, or that cannot be decoded, in words."""
        try:
            with opened_text(self.path, self.options) as lines, suppress(csv.Error):
                rows = csv.reader(lines, delimiter=self.dialect.delimiter)
                for row in rows:
                    if row and len(row) != len(self.names):
                        return UserError(
                            f"{self.path}, line {rows.line_num}: {len(row)} cells where the header"
                            f" names {len(self.names)} columns: "
                            f"{self.dialect.delimiter.join(row)[:80]!r}"
                        )
        except UnicodeError:
            return _undecodable(self.path, self.options)
        return None

    def _check_last_quote(self, table: pa.Table) -> None:
        """A quote that is never closed swallows the rest of the file into the last cell."""
        last = table.slice(max(table.num_rows - 1, 0)).to_pylist()
        if not any("\n" in str(value) for row in last for value in row.values()):
            return
        with opened_text(self.path, self.options) as lines:
            if sum(line.count('"') for line in lines) % 2:
                raise UserError(f"{self.path}: a double quote is opened and never closed")


@dataclass(frozen=True, slots=True)
class DelimitedFiles:
    """Several text tables, one below the other; a column that one of them lacks is missing there."""

    files: tuple[DelimitedFile, ...]

    @classmethod
    def opened(cls, paths: Sequence[Path], options: ReadOptions) -> "DelimitedFiles":
        return cls(tuple(DelimitedFile.opened(path, options) for path in paths))

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for file in self.files for name in file.names))

    @property
    def declared(self) -> frozenset[str]:
        return frozenset()

    @property
    def decimal(self) -> Decimal | None:
        return next((file.decimal for file in self.files if file.decimal), None)

    def read(self, columns: Sequence[str]) -> pa.Table:
        parts = self._parts(columns, frozenset())
        kinds = {name: {_kind(part, name) for part in parts} - {None} for name in columns}
        mixed = frozenset(name for name, found in kinds.items() if len(found) > 1)
        if mixed:
            # A column that is text in one file is text in all, spelled as it stands there.
            parts = self._parts(columns, mixed)
        joined = pa.concat_tables(map(_without_dictionaries, parts), promote_options="permissive")
        return joined.select(list(columns))

    def _parts(self, columns: Sequence[str], texts: frozenset[str]) -> list[pa.Table]:
        parts = []
        for file in self.files:
            options = replace(file.options, text={*file.options.text, *texts})
            present = [name for name in columns if name in file.names]
            parts.append(replace(file, options=options).read(present))
        return parts


def _kind(table: pa.Table, name: str) -> str | None:
    """text, number or another type of one part's column; None where it says nothing."""
    if name not in table.column_names or pa.types.is_null(table[name].type):
        return None
    kind = table[name].type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return "number" if is_number else "text" if is_text(kind) else str(kind)


def _without_dictionaries(table: pa.Table) -> pa.Table:
    for position, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            column = table[position].cast(field.type.value_type)
            table = table.set_column(position, field.name, column)
    return table


def _undecodable(path: Path, options: ReadOptions) -> UserError:
    hint = "save the file as UTF-8, or say its --encoding, such as latin-1, cp1252 or gbk"
    if not options.is_utf8:
        return UserError(f"{path} is no text in {options.encoding}: {hint}")
    with opened_bytes(path) as lines:
        for number, line in enumerate(lines, 1):
            if number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
                return UserError(f"{path} is UTF-16 text: pass --encoding=utf-16")
            try:
                line.decode()
            except UnicodeDecodeError:
                return UserError(
                    f"{path}, line {number}: this is no UTF-8 text: {line[:40]!r}; {hint}"
                )
    return UserError(f"{path} holds text that is not UTF-8; {hint}")


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
