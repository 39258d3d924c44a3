"""What a caller may name as a table, and how each is opened."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import pyarrow as pa
import pyarrow.dataset as ds

from polytask.data.delimited import DelimitedFiles
from polytask.data.dialect import compression_of
from polytask.data.files import ArrowFile, ParquetFiles
from polytask.data.frames import ArrowStream, DatasetOfArrow, Frame, LazyFrame
from polytask.data.options import Decimal, ReadOptions
from polytask.data.paths import ARROW, PARQUET, TEXT, check_path, matching_paths
from polytask.errors import UserError

_OTHER_FORMATS = (
    *(".xlsx", ".xls", ".xlsm", ".ods", ".json", ".jsonl", ".ndjson", ".xml", ".html", ".htm"),
    *(".orc", ".avro", ".h5", ".hdf5", ".pkl", ".pickle", ".npy", ".npz", ".pt", ".safetensors"),
    *(".db", ".sqlite", ".sav", ".dta", ".sas7bdat", ".rds", ".mat", ".pdf", ".7z", ".rar"),
    *(".tar", ".xz", ".zst", ".doc", ".docx", ".odt", ".png", ".jpg", ".jpeg", ".py", ".yaml"),
)
_LOOKED_AT = 4096

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


class Source(Protocol):
    """Something opened, of which the names are known before the rows are read."""

    @property
    def names(self) -> list[str]: ...

    @property
    def declared(self) -> frozenset[str]:
        """Columns that the source itself calls categories."""
        ...

    @property
    def decimal(self) -> Decimal | None:
        """The decimal sign of its text, where it shows."""
        ...

    def read(self, columns: Sequence[str]) -> pa.Table: ...


def open_source(source: TableSource, options: ReadOptions) -> Source:
    """The source, opened by what it is; UserError where it is no table."""
    if isinstance(source, str | Path):
        return _opened_files(matching_paths(str(source)), options)
    if isinstance(source, ds.Dataset):
        return DatasetOfArrow(source)
    if isinstance(source, list | tuple) and source and isinstance(source[0], str | Path):
        return _opened_files(
            [path for entry in source for path in matching_paths(str(entry))], options
        )
    return Frame.opened(source, skip=options.skip)


def name_of(source: TableSource) -> str:
    """How errors name the source."""
    if isinstance(source, str | Path):
        return str(source)
    if isinstance(source, list | tuple) and source and isinstance(source[0], str | Path):
        return f"{source[0]} and {len(source) - 1} more" if len(source) > 1 else str(source[0])
    return f"the {type(source).__name__}"


def _opened_files(paths: Sequence[Path], options: ReadOptions) -> Source:
    files = [file for path in paths for file in _text_files_of(path)] or list(paths)
    for file in files:
        check_path(file)
    kinds = {_kind_of(file) for file in files}
    if kinds == {"parquet"}:
        return ParquetFiles.opened(paths[0] if len(paths) == 1 else files)
    if kinds == {"arrow"} and len(files) == 1:
        return ArrowFile.opened(files[0])
    if kinds == {"text"}:
        opened = DelimitedFiles.opened(files, options)
        return opened.files[0] if len(files) == 1 else opened
    raise UserError(
        f"{files[0]} and {len(files) - 1} more are not of one format: several files of one table"
        " are all Parquet, or all CSV"
    )


def _text_files_of(path: Path) -> list[Path]:
    """The CSV files of a folder without Parquet files; else the path itself."""
    if not path.is_dir() or any(path.rglob(f"*{PARQUET}")):
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix.lower() in TEXT) or [path]


def _kind_of(path: Path) -> str:
    """parquet, arrow or text, by the name or else by the first bytes."""
    name = path.name.lower()
    if path.is_dir() or name.endswith(PARQUET):
        return "parquet"
    if name.endswith(ARROW):
        return "arrow"
    with path.open("rb") as content:
        head = content.read(_LOOKED_AT)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"ARROW1"):
        return "arrow"
    is_utf16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    is_text = compression_of(path) is not None or is_utf16 or b"\0" not in head
    if name.endswith(_OTHER_FORMATS) or not is_text:
        raise UserError(
            f"{path}: unknown extension {''.join(path.suffixes[-1:])!r}; a table is a .parquet file"
            " or folder, an .arrow file, or text such as .csv, plain or as .gz, .bz2 or .zip"
        )
    return "text"
