"""The formats of files that are read as tables, by the endings of their names."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from polytask.data.arrays import open_npz
from polytask.data.delimited import open_text
from polytask.data.dialect import is_compressed
from polytask.data.files import open_arrow, open_parquet
from polytask.data.options import ReadOptions
from polytask.data.paths import ARRAYS, ARROW, PARQUET, TEXT, check_path
from polytask.data.sources import Source
from polytask.errors import UserError

Reader = Callable[[Path], pa.Table]
"""A file of a format of your own -> its table."""
Opener = Callable[[Sequence[Path], ReadOptions], Source]
"""The files of one table, or its folder -> what is read of them, column by column."""

READERS: dict[str, Opener] = {
    PARQUET: open_parquet,
    **dict.fromkeys(ARROW, open_arrow),
    **dict.fromkeys(TEXT, open_text),
    ARRAYS: open_npz,
}
"""Every format by the ending of its files' names, in lower case."""

_MAGIC: dict[bytes, Opener] = {b"PAR1": open_parquet, b"ARROW1": open_arrow}
_OTHER_FORMATS = (
    *(".xlsx", ".xls", ".xlsm", ".ods", ".json", ".jsonl", ".ndjson", ".xml", ".html", ".htm"),
    *(".orc", ".avro", ".h5", ".hdf5", ".pkl", ".pickle", ".npy", ".pt", ".safetensors"),
    *(".db", ".sqlite", ".sav", ".dta", ".sas7bdat", ".rds", ".mat", ".pdf", ".7z", ".rar"),
    *(".tar", ".xz", ".zst", ".doc", ".docx", ".odt", ".png", ".jpg", ".jpeg", ".py", ".yaml"),
)
_LOOKED_AT = 4096


def register(*suffixes: str) -> Callable[[Reader], Reader]:
    """A decorator that makes a reader of your own known by the endings of its files' names.

    The reader takes a path and returns a table; `polytask.fit`, the command line and a saved run then
    take such files as any other. Names, words for missing and numbers that are text are treated as in
    every table; UserError, or an error of Arrow's or of the system's, says that a file is damaged.
    Several files are one table, one below the other. An ending of ours is a ValueError.

    >>> import pyarrow.csv
    >>> @register(".psv")
    ... def read_bars(path: Path) -> pa.Table:
    ...     bars = pa.csv.ParseOptions(delimiter="|")
    ...     return pa.csv.read_csv(path, parse_options=bars)
    >>> ".psv" in READERS
    True
    """
    for suffix in suffixes:
        if not suffix.startswith(".") or suffix != suffix.lower():
            raise ValueError(
                f"a reader's suffix is lower case and begins with a dot, not {suffix!r}"
            )
        if suffix in _OURS:
            raise ValueError(f"{suffix!r} is read by polytask itself: take another suffix")

    def keep(reader: Reader) -> Reader:
        def opened(paths: Sequence[Path], options: ReadOptions) -> Source:
            return Source.of_tables([reader(path) for path in paths])

        READERS.update(dict.fromkeys(suffixes, opened))
        return reader

    return keep


_OURS = frozenset(READERS)


def open_files(paths: Sequence[Path], options: ReadOptions) -> Source:
    """The files of one table, opened by what they are; UserError where they are none."""
    files = [file for path in paths for file in _files_of(path)]
    for file in files:
        check_path(file)
    openers = {_opener_of(file) for file in files}
    if len(openers) > 1:
        raise UserError(
            f"{files[0]} and {len(files) - 1} more are not of one format: several files of one table"
            " are all Parquet, or all CSV"
        )
    return openers.pop()(files, options)


def _files_of(path: Path) -> list[Path]:
    """The files of a folder without Parquet files; else the path itself."""
    if not path.is_dir() or any(path.rglob(f"*{PARQUET}")):
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix.lower() in READERS) or [path]


def _opener_of(path: Path) -> Opener:
    """By the name, but for text, which is known by its first bytes, whatever its name is."""
    if path.is_dir():
        return open_parquet
    name = path.name.lower()
    named = next((opener for suffix, opener in READERS.items() if name.endswith(suffix)), open_text)
    if named is not open_text:
        return named
    with path.open("rb") as content:
        head = content.read(_LOOKED_AT)
    for magic, opener in _MAGIC.items():
        if head.startswith(magic):
            return opener
    is_utf16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    is_text = is_compressed(head) or is_utf16 or b"\0" not in head
    if name.endswith(_OTHER_FORMATS) or not is_text:
        raise UserError(
            f"{path}: unknown extension {''.join(path.suffixes[-1:])!r}; a table is a .parquet file"
            " or folder, an .arrow file, or text such as .csv, plain or as .gz, .bz2 or .zip; a reader"
            " of your own is known once the module that registers it is imported"
        )
    return open_text
