"""Text tables: CSV, TSV and such, plain or compressed, one or many."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedReader
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from polytask.columns.values import is_number, is_text, value_type
from polytask.data.dialect import Dialect, dialect_of, opened_bytes, opened_text
from polytask.data.names import is_code
from polytask.data.options import Decimal, ReadOptions
from polytask.data.sources import Source
from polytask.data.text_columns import USUAL
from polytask.errors import UserError

_LARGEST_SIGNED = 2.0**63
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

    def read(self, columns: Sequence[str]) -> pa.Table:
        codes = {name for name in columns if self._is_code(name)}
        texts = {name for name in columns if self._is_text(name)}
        try:
            table = self._parsed(columns, dict.fromkeys(codes | texts, pa.string()))
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                raise UserError(f"{self.path}: the table has no rows") from None
            raise self._ragged() or error from None
        if any(pa.types.is_binary(value_type(column.type)) for column in table.columns):
            raise _undecodable(self.path, self.options)
        self._check_last_quote(table)
        for position, name in enumerate(columns):
            column = table[position]
            if name in codes - texts:
                column = _narrowed(column)
            elif pa.types.is_floating(column.type):
                column = self._narrowed_float(name, column)
            if column is not table[position]:
                table = table.set_column(position, name, column)
        return table

    def read_present(self, columns: Sequence[str], *, texts: Sequence[str] = ()) -> pa.Table:
        """Those of the columns that the file has, without dictionaries; `texts` as they are written."""
        options = replace(self.options, text={*self.options.text, *texts})
        present = [name for name in columns if name in self.dialect.names]
        table = replace(self, options=options).read(present)
        return pa.table({n: table[n].cast(value_type(table[n].type)) for n in present})

    def _is_code(self, name: str) -> bool:
        is_named = is_code(name.strip()) or name.strip() in self.options.codes
        return is_named and name in self.dialect.numeric

    def _is_text(self, name: str) -> bool:
        if name.strip() in self.options.numbers:
            return False
        return name.strip() in self.options.text or name in self.dialect.padded

    def _narrowed_float(self, name: str, numbers: pa.ChunkedArray) -> pa.ChunkedArray:
        """Floats of 2^63 and more may be whole numbers of many digits: uint64, or text where those end."""
        if (pc.max(numbers).as_py() or 0) < _LARGEST_SIGNED:
            return numbers
        texts = _present(self._parsed([name], {name: pa.string()})[0])
        if not pc.all(pc.match_substring_regex(texts, r"^[0-9]+$")).as_py():
            return numbers
        try:
            return texts.cast(pa.uint64())
        except pa.ArrowInvalid:
            return texts

    def _parsed(self, columns: Sequence[str], types: dict[str, pa.DataType]) -> pa.Table:
        # By this one name Arrow reads without decoding first.
        encoding = "utf8" if self.options.is_utf8 else self.options.encoding
        with opened_bytes(self.path) as content:
            return pa.csv.read_csv(
                # A plain file is read by Arrow itself, opened, for of a path it believes the ending.
                pa.OSFile(str(self.path)) if isinstance(content, BufferedReader) else content,
                pa.csv.ReadOptions(encoding=encoding),
                pa.csv.ParseOptions(delimiter=self.dialect.delimiter, newlines_in_values=True),
                pa.csv.ConvertOptions(
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
                    if row and len(row) != len(self.dialect.names):
                        return UserError(
                            f"{self.path}, line {rows.line_num}: {len(row)} cells where the header"
                            f" names {len(self.dialect.names)} columns: "
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


def _narrowed(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Codes as integers, or as floats, where no spelling is lost: 7, 07 and 007 are three codes."""
    with suppress(pa.ArrowInvalid):
        # Most columns come this way, and fast: nothing is missing, nothing padded.
        numbers = texts.cast(pa.int64())
        is_padded = pc.and_(pc.starts_with(texts, "0"), pc.greater(pc.binary_length(texts), 1))
        return texts if pc.any(is_padded).as_py() else numbers
    present = _present(texts)
    for kind in (pa.int64(), pa.uint64(), pa.float64()):
        with suppress(pa.ArrowInvalid):
            numbers = present.cast(kind)
            lost = pc.count_distinct(numbers).as_py() < pc.count_distinct(present).as_py()
            return texts if lost else numbers
    return texts


def _present(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without spaces around them, and with null for the usual words for missing."""
    trimmed = pc.utf8_trim_whitespace(texts)
    is_word = pc.is_in(trimmed, value_set=pa.array(USUAL, trimmed.type))
    return pc.if_else(is_word, pa.scalar(None, trimmed.type), trimmed)


def open_text(paths: Sequence[Path], options: ReadOptions) -> Source:
    """Text tables, one below the other; a column that one of them lacks is missing there."""
    files = []
    for path in paths:
        try:
            files.append(DelimitedFile(path, dialect_of(path, options), options))
        except UnicodeError:
            raise _undecodable(path, options) from None
    # A comma where the first lines show it; a point proves nothing of quoted text.
    decimal: Decimal | None = "," if any(file.dialect.decimal == "," for file in files) else None
    if len(files) == 1:
        return Source(files[0].dialect.names, files[0].read, decimal=decimal)
    names = list(dict.fromkeys(name for file in files for name in file.dialect.names))
    return Source(names, partial(_read_joined, files), decimal=decimal)


def _read_joined(files: Sequence[DelimitedFile], columns: Sequence[str]) -> pa.Table:
    parts = [file.read_present(columns) for file in files]
    kinds = {name: {_kind(part, name) for part in parts} - {None} for name in columns}
    mixed = [name for name, found in kinds.items() if len(found) > 1]
    if mixed:
        # A column that is text in one file is text in all, spelled as it stands there.
        parts = [file.read_present(columns, texts=mixed) for file in files]
    return pa.concat_tables(parts, promote_options="permissive").select(list(columns))


def _kind(table: pa.Table, name: str) -> str | None:
    """text, number or another type of one part's column; None where it says nothing."""
    if name not in table.column_names or pa.types.is_null(table[name].type):
        return None
    kind = table[name].type
    return "number" if is_number(kind) else "text" if is_text(kind) else str(kind)


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
