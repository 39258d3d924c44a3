"""A file with every kind of damage: one clear message each, never a traceback."""

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polytask.data.options import ReadOptions
from polytask.data.readers import TableSource, read_table
from polytask.errors import UserError

Damage = Callable[[Path], TableSource]


def _written(name: str, content: bytes) -> Damage:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def _parquet_bytes(num_rows: int = 1000) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": range(num_rows), "y": range(num_rows)}), sink)
    return bytes(sink.getvalue())


def _arrow_bytes() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"x": range(1000)})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _corrupt_gzip() -> bytes:
    content = bytearray(gzip.compress(bytes(range(256)) * 40))
    content[20:60] = bytes(40)
    return bytes(content)


def _zipped(*names: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name in names:
            archive.writestr(name, "a\n1\n")
    return sink.getvalue()


def _corrupt_page(folder: Path) -> Path:
    path = folder / "log.parquet"
    pq.write_table(pa.table({"x": [f"text {i}" for i in range(5000)]}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[40:400] = bytes(360)
    path.write_bytes(bytes(content))
    return path


def _folder_of(first: pa.Table | None, second: pa.Table | None = None) -> Damage:
    def write(folder: Path) -> Path:
        for name, part in (("a.parquet", first), ("b.parquet", second)):
            if part is not None:
                pq.write_table(part, folder / name)
        return folder

    return write


def _misspelt(folder: Path) -> Path:
    (folder / "train.parquet").write_bytes(_parquet_bytes())
    return folder / "tarin.parquet"


def _frame(frame: object) -> Damage:
    return lambda folder: frame  # type: ignore[return-value]


RAGGED = b"a,b,c\n1,2,3\n4,5\n6,7,8\n"
DAMAGES: dict[str, tuple[Damage, str]] = {
    "absent": (lambda folder: folder / "log.parquet", "does not exist"),
    "misspelt": (_misspelt, "did you mean 'train.parquet'"),
    "no folder": (lambda folder: folder / "x" / "log.parquet", "there is no folder"),
    "unknown extension": (_written("log.xlsx", b"x"), r"unknown extension '.xlsx'.*\.parquet"),
    "empty file": (_written("log.csv", b""), r"is empty \(0 bytes\)"),
    "blank lines": (_written("log.csv", b"\n\n"), "no header line"),
    "no rows in CSV": (_written("log.csv", b"a,b\n"), "has no rows"),
    "a header without an end": (_written("log.csv", b"a,b"), "has no rows"),
    "no rows in Parquet": (_written("log.parquet", _parquet_bytes(0)), "has no rows"),
    "truncated Parquet": (_written("log.parquet", _parquet_bytes()[:-500]), "is cut short"),
    "no Parquet at all": (_written("log.parquet", b"a,b\n1,2\n"), "is no Parquet file"),
    "one byte of Parquet": (_written("log.parquet", b"P"), "is no Parquet file"),
    "Parquet's ends alone": (_written("log.parquet", b"PAR1PAR1"), "cannot be read"),
    "corrupt page": (_corrupt_page, "cannot be read"),
    "truncated Arrow": (_written("log.arrow", _arrow_bytes()[:700]), "is no complete Arrow file"),
    "too few cells": (_written("log.csv", RAGGED), "line 3: 2 cells .* names 3 columns: '4,5'"),
    "too many cells": (_written("log.csv", b"a,b\n1,2\n1,2,3\n"), "line 3: 3 cells"),
    "ragged after a line break in a cell": (
        _written("log.csv", b'a,b,c\n1,"x\ny",3\n4,5,6,7\n'),
        "line 4: 4 cells",
    ),
    "ragged far down": (_written("log.csv", b"a,b\n" + b"1,2\n" * 400_000 + b"1\n"), "line 400002"),
    "ragged TSV": (_written("log.tsv", b"a\tb\n1\n"), "line 2: 1 cells"),
    "duplicate columns": (_written("log.csv", b"a,b,a\n1,2,3\n"), "duplicate column names: 'a'"),
    "no header": (_written("log.csv", b"1,7,1\n1,2,3\n"), "does the file lack a header line"),
    "Latin-1": (_written("log.csv", "a,b\n1,x\n2,é\n".encode("latin-1")), "line 3: .*no UTF-8"),
    "Latin-1 header": (_written("log.csv", "é,b\n1,x\n".encode("latin-1")), "line 1: .*no UTF-8"),
    "Latin-1 far down": (
        _written("log.csv", b"a,b\n" + b"1,x\n" * 9000 + "1,é\n".encode("latin-1")),
        "line 9002: .*no UTF-8",
    ),
    "UTF-16": (_written("log.csv", "a,b\n1,2\n".encode("utf-16")), "UTF-16"),
    "unclosed quote": (_written("log.csv", b'a,b\n1,"x\n2,y\n'), "opened and never closed"),
    "truncated gzip": (
        _written("log.csv.gz", gzip.compress(RAGGED * 100)[:-20]),
        "cut short|cannot be read",
    ),
    "corrupt gzip": (_written("log.csv.gz", _corrupt_gzip()), "cannot be read"),
    "unclosed quote in a long header": (
        _written("log.csv", b'a,"b\n' + b"1,2\n" * 50_000),
        "cannot be read: field larger",
    ),
    "ragged beside a huge cell": (
        _written("log.csv", b"a,b\n1," + b"x" * 200_000 + b"\n1\n"),
        "cannot be read: CSV parse error",
    ),
    "empty gzip": (_written("log.csv.gz", gzip.compress(b"")), "no header line"),
    "empty folder": (_folder_of(None), "without a .parquet file"),
    "folder with an empty file": (
        lambda folder: _written("b.parquet", b"")(folder).parent,
        r"b.parquet is empty",
    ),
    "folder of unlike files": (
        _folder_of(pa.table({"a": [1]}), pa.table({"a": ["x"]})),
        "b.parquet does not match",
    ),
    "pandas, mixed types": (
        _frame(pd.DataFrame({"a": [1, 2], "mix": [0, "0"]}, dtype=object)),
        r"column 'mix' .* holds int \(row 0\) and str \(row 1\): .*astype\(str\).*ignore='mix'",
    ),
    "pandas, an object": (
        _frame(pd.DataFrame({"a": [1], "o": [object()]})),
        "column 'o' .*, of dtype object, cannot be read",
    ),
    "pandas, duplicate": (
        _frame(pd.DataFrame([[1, 2]], columns=["a", "a"])),
        "duplicate column names: 'a'",
    ),
    "pandas, no columns": (_frame(pd.DataFrame(index=[1, 2])), "has no columns"),
    "array": (_frame(np.zeros((3, 2))), r"no names: pass pandas.DataFrame\(array, columns="),
    "open file": (lambda folder: (folder / "t").open("w"), "pass the path of the file"),
    "dict of a matrix": (_frame({"a": np.zeros((3, 2))}), "'a' .* more than one dimension"),
    "dict of unlike lengths": (_frame({"a": [1, 2], "b": [1]}), "differ in length: .*'b': 1"),
    "list of numbers": (_frame([1, 2]), "cannot read a table from a list"),
    "address": (lambda folder: "https://example.com/t.csv", "is an address: download"),
    "address as a path": (lambda folder: Path("https://a.com/t.csv"), "https:/.* is an address"),
    "address of no file system": (lambda folder: "nosuch://a/t.parquet", "Protocol not known"),
    "address of nothing": (lambda folder: "memory://nothing/here", "no .parquet file is there"),
    "pattern of nothing": (lambda folder: folder / "*.csv", "no file matches"),
    "files of two formats": (
        lambda folder: [
            _written("a.csv", b"a\n1\n")(folder),
            _written("a.parquet", _parquet_bytes())(folder),
        ],
        "a.csv and 1 more are not of one format",
    ),
    "Excel in a zip": (_written("t.data", _zipped("[Content_Types].xml", "x")), "Excel workbook"),
    "two files in a zip": (_written("t.csv.zip", _zipped("a.csv", "b.csv")), "holds 2 files"),
    "binary file": (_written("t.bin", bytes(range(256))), "unknown extension '.bin'"),
    "not a table": (_frame(7), "cannot read a table from a int"),
    "Arrow, duplicate": (
        _frame(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])),
        "duplicate column names: 'a'",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_in_words(damage: str, tmp_path: Path) -> None:
    make, words = DAMAGES[damage]
    with pytest.raises(UserError, match=f"(?s){words}"):
        read_table(make(tmp_path))


@pytest.mark.parametrize(
    ("encoding", "words"), [("latn", "there is no encoding 'latn'"), ("gbk", "is no text in gbk")]
)
def test_a_wrong_encoding_is_told_in_words(encoding: str, words: str, tmp_path: Path) -> None:
    path = _written("t.csv", b"a,b\n1,\xff\xff\n")(tmp_path)
    with pytest.raises(UserError, match=words):
        read_table(path, options=ReadOptions(encoding=encoding))


def test_a_column_that_is_asked_for_and_absent_is_named(tmp_path: Path) -> None:
    for name, content in (("log.csv", b"user_id,b\n1,2\n"), ("log.parquet", _parquet_bytes())):
        path = _written(name, content)(tmp_path)
        with pytest.raises(UserError, match="lacks a column: 'user_di'"):
            read_table(path, columns=["user_di"])
