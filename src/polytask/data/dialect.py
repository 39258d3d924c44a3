"""How a text table is written, found out from its first lines."""

import bz2
import csv
import gzip
import io
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, BinaryIO, TextIO, cast

from polytask.data.options import Decimal, ReadOptions
from polytask.errors import UserError

_HEAD_CHARACTERS = 1 << 18
_HEAD_ROWS = 5000
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")
_DECIMAL_POINT = re.compile(r"\s*[-+]?(0\.\d+|\d*\.(\d{1,2}|\d{4,}))\s*")
"""1.234 may be a whole number with parted thousands."""
_ZEROS_IN_FRONT = re.compile(r"\s*[-+]?0\d+\s*")
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*|\s*")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the first lines show.

    names: the header's. padded: columns with whole numbers that have zeros in front. numeric:
    columns of which the first cells are numbers.
    """

    names: list[str]
    delimiter: str
    decimal: Decimal
    padded: frozenset[str]
    numeric: frozenset[str]


def is_compressed(head: bytes) -> bool:
    """Whether a file that begins like this is gzip, bz2 or zip, whatever its name is."""
    return head.startswith(tuple(_DECOMPRESSED))


def opened_bytes(path: Path) -> BinaryIO:
    """The file's bytes, decompressed; of a zip its one member."""
    content = path.open("rb")
    head = content.read(4)
    for magic, decompressed in _DECOMPRESSED.items():
        if head.startswith(magic):
            content.close()
            return cast(BinaryIO, decompressed(path))
    content.seek(0)
    return content


def opened_text(path: Path, options: ReadOptions) -> TextIO:
    """The file's text, a byte order mark left out."""
    encoding = "utf-8-sig" if options.is_utf8 else options.encoding
    return io.TextIOWrapper(opened_bytes(path), encoding=encoding, newline="")


def dialect_of(path: Path, options: ReadOptions) -> Dialect:
    """The dialect; UserError where there is no header. Cells are judged only by the head."""
    with opened_text(path, options) as lines:
        first = lines.readline()
        head = first + lines.read(_HEAD_CHARACTERS)
    is_whole = len(head) < len(first) + _HEAD_CHARACTERS
    # A last line that was cut off tells nothing.
    whole = head if is_whole else head[: head.rfind("\n") + 1]
    delimiter = _delimiter(path, first)
    reader = csv.reader(io.StringIO(whole), delimiter=delimiter)
    names = next((row for row in reader if row), [])
    if not names:
        raise UserError(f"{path} is empty: it has no header line")
    rows: list[list[str]] = []
    with suppress(csv.Error):
        rows = list(islice(reader, _HEAD_ROWS))
    cells = {name: [row[i] for row in rows if i < len(row)] for i, name in enumerate(names)}
    return Dialect(
        names,
        delimiter,
        options.decimal or _decimal(delimiter, cells),
        frozenset(n for n, column in cells.items() if any(map(_ZEROS_IN_FRONT.fullmatch, column))),
        frozenset(n for n, column in cells.items() if all(map(_NUMBER.fullmatch, column))),
    )


def _delimiter(path: Path, header: str) -> str:
    """A comma or, in a .tsv, a tab; a header without commas may show another sign."""
    if ".tsv" in path.name.lower():
        return "\t"
    return next((sign for sign in ",;\t|" if sign in header), ",")


def _decimal(delimiter: str, cells: dict[str, list[str]]) -> Decimal:
    """A comma where cells have decimal commas, none has a point, and commas part no cells."""
    if delimiter == ",":
        return "."
    every = [cell for column in cells.values() for cell in column]
    has_comma = any(map(_DECIMAL_COMMA.fullmatch, every))
    return "," if has_comma and not any(map(_DECIMAL_POINT.fullmatch, every)) else "."


def _member(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    names = [name for name in names if not name.startswith("__MACOSX/")]
    if "[Content_Types].xml" in names:
        raise UserError(f"{path} is an Excel workbook: save the sheet as CSV")
    if len(names) != 1:
        raise UserError(f"{path} holds {len(names)} files, where one table is due: unpack it")
    return archive.open(names[0])


_DECOMPRESSED: dict[bytes, Callable[[Path], object]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"PK\x03\x04": _member,
}
