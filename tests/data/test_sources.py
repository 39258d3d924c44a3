"""Everything that may be named as a table, and codes of text tables."""

import bz2
import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from polytask.data.notes import notes_of
from polytask.data.options import ReadOptions
from polytask.data.readers import TableSource, read_table
from polytask.data.schema import infer_schema

ROWS = {"x": [0.5, 1.5, -2.0], "kind": ["a", "b", "a"], "n": [1, 2, 3]}
TEXT = "x,kind,n\n0.5,a,1\n1.5,b,2\n-2.0,a,3\n"


def _zipped(name: str, content: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return sink.getvalue()


FILES = {
    "t.txt": TEXT.encode(),
    "t.data": TEXT.encode(),
    "table": TEXT.encode(),
    "t.log": TEXT.replace(",", "|").encode(),
    "pipes.csv": TEXT.replace(",", "|").encode(),
    "t.csv.bz2": bz2.compress(TEXT.encode()),
    "t.csv.zip": _zipped("inner/t.csv", TEXT.encode()),
    "t.zip": _zipped("t.csv", TEXT.encode()),
    "t.gz": gzip.compress(TEXT.encode()),
    "named.csv": gzip.compress(TEXT.encode()),
    "named.csv.gz": TEXT.encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_text_is_read_whatever_its_file_is_called(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    assert read_table(tmp_path / name).to_pydict() == ROWS


def test_parquet_and_arrow_are_known_by_their_first_bytes(tmp_path: Path) -> None:
    pq.write_table(pa.table(ROWS), tmp_path / "part-0")
    assert read_table(tmp_path / "part-0").to_pydict() == ROWS
    with pa.ipc.new_file(str(tmp_path / "t.bin"), pa.table(ROWS).schema) as writer:
        writer.write_table(pa.table(ROWS))
    assert read_table(tmp_path / "t.bin").to_pydict() == ROWS


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "UTF-8", "utf8"])
def test_an_encoding_is_taken(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("näme,x\nü,1\né,2\n".encode(encoding))
    read = read_table(tmp_path / "t.csv", options=ReadOptions(encoding=encoding))
    assert read.to_pydict() == {"näme": ["ü", "é"], "x": [1, 2]}


def _parts(folder: Path) -> list[Path]:
    for number, text in enumerate(["x,k\n1,a\n", "k,x,z\nb,2.5,7\n", "x,k\n3,c\n"]):
        (folder / f"part-{number}.csv").write_text(text)
    return sorted(folder.glob("part-*.csv"))


SEVERAL: dict[str, Callable[[list[Path]], TableSource]] = {
    "list": lambda parts: parts,
    "list of texts": lambda parts: [str(part) for part in parts],
    "pattern": lambda parts: str(parts[0].parent / "part-*.csv"),
    "pattern as a path": lambda parts: parts[0].parent / "part-?.csv",
    "folder": lambda parts: parts[0].parent,
}


@pytest.mark.parametrize("way", SEVERAL)
def test_several_text_files_are_one_table(way: str, tmp_path: Path) -> None:
    read = read_table(SEVERAL[way](_parts(tmp_path)))
    assert read.to_pydict() == {"x": [1, 2.5, 3], "k": ["a", "b", "c"], "z": [None, 7, None]}


def test_several_parquet_files_are_one_table(tmp_path: Path) -> None:
    for number in (0, 1):
        pq.write_table(pa.table({"x": [number, 2]}), tmp_path / f"{number}.parquet")
    for source in (sorted(tmp_path.iterdir()), tmp_path / "*.parquet", tmp_path):
        assert read_table(source)["x"].to_pylist() == [0, 2, 1, 2]


def test_a_column_that_is_text_in_one_file_is_spelled_alike_in_all(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("k,x\n1.50,1\n2.50,2\n")
    (tmp_path / "b.csv").write_text("k,x\nfar,3\nnear,4\n")
    read = read_table([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert read.to_pydict() == {"k": ["1.50", "2.50", "far", "near"], "x": [1, 2, 3, 4]}


IN_MEMORY: dict[str, Callable[[], TableSource]] = {
    "dict of lists": lambda: dict(ROWS),
    "dict of arrays": lambda: {n: np.array(v) for n, v in ROWS.items()},
    "dict of series": lambda: {n: pd.Series(v) for n, v in ROWS.items()},
    "rows": lambda: [dict(zip(ROWS, values)) for values in zip(*ROWS.values())],
    "lazy polars": lambda: pl.LazyFrame(ROWS),
    "pyarrow dataset": lambda: ds.dataset(pa.table(ROWS)),
    "record batch": lambda: pa.table(ROWS).to_batches()[0],
    "record batch reader": lambda: pa.table(ROWS).to_reader(),
    "pandas": lambda: pd.DataFrame(ROWS),
}


@pytest.mark.parametrize("what", IN_MEMORY)
def test_tables_in_memory(what: str) -> None:
    assert read_table(IN_MEMORY[what]()).to_pydict() == ROWS
    read = read_table(IN_MEMORY[what](), columns=["n", "x"])
    assert read.to_pydict() == {"n": ROWS["n"], "x": ROWS["x"]}


@pytest.mark.parametrize(
    "row", [{"x": 0.5, "kind": "a"}, pd.Series({"x": 0.5, "kind": "a"}), [{"x": 0.5, "kind": "a"}]]
)
def test_one_row(row: TableSource) -> None:
    assert read_table(row).to_pydict() == {"x": [0.5], "kind": ["a"]}


def test_pandas_intervals_sparse_columns_and_periods() -> None:
    x = pd.Series([0.5, 1.5, 2.5, None])
    frame = pd.DataFrame(
        {
            "cut": pd.cut(x, [0, 1, 2, 3]),
            "interval": pd.arrays.IntervalArray.from_tuples([(0, 1), (1, 2), (0, 1), (0, 1)]),
            "sparse": pd.arrays.SparseArray([0.0, 0.0, 2.5, 0.0]),
            "sparse_flag": pd.arrays.SparseArray([1, 0, 0, 0]),
            "month": pd.PeriodIndex(["2022-01", "2022-02", "2022-03", "2022-04"], freq="M"),
            "x": x,
        }
    )
    read = read_table(frame)
    assert read["cut"].to_pylist() == ["(0, 1]", "(1, 2]", "(2, 3]", None]
    assert read["interval"].to_pylist() == ["(0, 1]", "(1, 2]", "(0, 1]", "(0, 1]"]
    assert read["sparse"].to_pylist() == [0, 0, 2.5, 0]
    assert read["sparse_flag"].to_pylist() == [1, 0, 0, 0]
    assert str(read["month"][1].as_py()) == "2022-02-01 00:00:00"
    assert read["x"].to_pylist() == [0.5, 1.5, 2.5, None]


def test_a_pandas_column_that_cannot_be_read_may_be_left_out() -> None:
    frame = pd.DataFrame({"mix": pd.Series([1, "x"], dtype=object), "x": [0.5, 1.5]})
    read = read_table(frame, options=ReadOptions(skip=["mix"]))
    assert read.to_pydict() == {"mix": [None, None], "x": [0.5, 1.5]}


def test_names_lose_the_spaces_around_them(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x, click ,kind\n0.5,1,a\n1.5,0,b\n")
    read = read_table(tmp_path / "t.csv")
    assert read.to_pydict() == {"x": [0.5, 1.5], "click": [1, 0], "kind": ["a", "b"]}
    assert notes_of(read) == ("click: the name had spaces around it: ' click '",)
    assert read_table(tmp_path / "t.csv", columns=["click"])["click"].to_pylist() == [1, 0]
    twins = pd.DataFrame({"a": [1, 2], "a ": [3, 4]})
    assert read_table(twins).column_names == ["a", "a "]


CODES = {
    "like floats": [f"1225717802.16798416{i % 40:02}" for i in range(400)],
    "20 digits": [f"9{i % 40:019}" for i in range(400)],
    "zeros in front": [["7", "07", "007"][i % 3] for i in range(400)],
    "late zeros": [*map(str, range(1, 5000)), "07"],
    "powers": [["1e5", "100000"][i % 2] for i in range(400)],
    "letters": ["a1", "b2"] * 200,
}


@pytest.mark.parametrize("case", CODES)
@pytest.mark.parametrize("name", ["seller_id", "seller", "code"])
def test_codes_of_a_text_table_keep_every_spelling(case: str, name: str, tmp_path: Path) -> None:
    pd.DataFrame({name: CODES[case], "x": 0.5}).to_csv(tmp_path / "t.csv", index=False)
    read = read_table(tmp_path / "t.csv")
    assert read[name].to_pylist() == CODES[case]
    assert notes_of(read) == ()


@pytest.mark.parametrize("case", ["20 digits", "zeros in front"])
def test_other_columns_keep_zeros_in_front_and_long_numbers_too(case: str, tmp_path: Path) -> None:
    pd.DataFrame({"number": CODES[case]}).to_csv(tmp_path / "t.csv", index=False)
    read = read_table(tmp_path / "t.csv")
    assert read["number"].to_pylist() == CODES[case]
    assert infer_schema(read).categorical == ("number",)


@pytest.mark.parametrize("case", ["like floats", "powers"])
def test_a_column_asked_for_as_text_or_as_categories_keeps_every_spelling(
    case: str, tmp_path: Path
) -> None:
    pd.DataFrame({"number": CODES[case]}).to_csv(tmp_path / "t.csv", index=False)
    for options in (ReadOptions(text=["number"]), ReadOptions(codes=["number"])):
        read = read_table(tmp_path / "t.csv", options=options)
        assert read["number"].to_pylist() == CODES[case]


def test_codes_that_are_numbers_stay_numbers(tmp_path: Path) -> None:
    text = "user_id,item_id,shop_id,big_id\n1,10,1.0,18446744073709551615\n2,,,1\n3,NA,3.0,2\n"
    (tmp_path / "t.csv").write_text(text)
    read = read_table(tmp_path / "t.csv")
    assert read.to_pydict() == {
        "user_id": [1, 2, 3],
        "item_id": [10, None, None],
        "shop_id": [1, None, 3],
        "big_id": [2**64 - 1, 1, 2],
    }
    assert [field.type for field in read.schema] == [pa.int64()] * 3 + [pa.uint64()]


def test_a_measure_with_a_code_in_its_name_is_a_number(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).normal(size=500)
    pd.DataFrame({"type_score": scores}).to_csv(tmp_path / "t.csv", index=False)
    assert read_table(tmp_path / "t.csv")["type_score"].to_pylist() == scores.tolist()
