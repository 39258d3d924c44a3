"""Every format gives one normalised table."""

import gzip
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from polytask.data.readers import TableSource, read_table, require_columns
from polytask.errors import UserError, nearest

ROWS = {
    "user_id": [2**24, 2**24 + 1, 2**53 + 1, 4],
    "score": [0.5, None, -1.25, 1e-3],
    "kind": ["news", None, "other", "new\nline"],
    "seen": [True, False, None, True],
}


@pytest.fixture
def table() -> pa.Table:
    return pa.table(ROWS)


def _written(name: str, content: bytes, folder: Path) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def _csv_file(table: pa.Table, folder: Path) -> Path:
    pa.csv.write_csv(table, folder / "t.csv")
    return folder / "t.csv"


def _gzipped_tsv(table: pa.Table, folder: Path) -> Path:
    with gzip.open(folder / "t.tsv.gz", "wb") as sink:
        pa.csv.write_csv(table, sink, pa.csv.WriteOptions(delimiter="\t"))
    return folder / "t.tsv.gz"


def _parquet_file(table: pa.Table, folder: Path) -> Path:
    pq.write_table(table, folder / "t.parquet")
    return folder / "t.parquet"


def _parquet_folder(table: pa.Table, folder: Path) -> Path:
    (folder / "parts" / "_temporary").mkdir(parents=True)
    pq.write_table(table.slice(0, 1), folder / "parts" / "0.parquet")
    pq.write_table(table.slice(1), folder / "parts" / "1.parquet")
    (folder / "parts" / "_temporary" / "2.parquet").write_bytes(b"half written")
    (folder / "parts" / "_SUCCESS").write_bytes(b"")
    return folder / "parts"


def _arrow_stream(table: pa.Table, folder: Path) -> Path:
    with pa.ipc.new_stream(str(folder / "t.arrow"), table.schema) as writer:
        writer.write_table(table)
    return folder / "t.arrow"


def _feather_file(table: pa.Table, folder: Path) -> Path:
    pa.feather.write_feather(table, str(folder / "t.feather"))
    return folder / "t.feather"


WRITERS: list[Callable[[pa.Table, Path], TableSource]] = [
    _csv_file,
    _gzipped_tsv,
    _parquet_file,
    _parquet_folder,
    _arrow_stream,
    _feather_file,
    lambda table, folder: table,
    lambda table, folder: str(_parquet_file(table, folder)),
    lambda table, folder: pl.from_arrow(table),  # type: ignore[return-value]
    lambda table, folder: table.to_pandas(),
    lambda table, folder: table.to_pandas(types_mapper=pd.ArrowDtype),
]


@pytest.mark.parametrize("write", WRITERS)
def test_every_source_gives_the_same_rows(
    write: Callable[[pa.Table, Path], TableSource], table: pa.Table, tmp_path: Path
) -> None:
    assert read_table(write(table, tmp_path)).to_pydict() == ROWS


@pytest.mark.parametrize("write", WRITERS)
def test_columns_are_read_alone_and_in_order(
    write: Callable[[pa.Table, Path], TableSource], table: pa.Table, tmp_path: Path
) -> None:
    read = read_table(write(table, tmp_path), columns=["kind", "user_id"])
    assert read.to_pydict() == {"kind": ROWS["kind"], "user_id": ROWS["user_id"]}


def test_a_tilde_is_the_home_folder(
    table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    _parquet_file(table, tmp_path)
    assert read_table("~/t.parquet").num_rows == 4


def test_a_folder_widens_its_files_and_reads_keys_from_folder_names(tmp_path: Path) -> None:
    for day, part in (
        ("day=1", pa.table({"a": pa.array([1], pa.int32())})),
        ("day=2", pa.table({"a": [2**40], "b": ["x"]})),
    ):
        (tmp_path / day).mkdir()
        pq.write_table(part, tmp_path / day / "0.parquet")
    read = read_table(tmp_path).select(["a", "b", "day"])
    assert read.to_pydict() == {"a": [1, 2**40], "b": [None, "x"], "day": [1, 2]}


def _csv(tmp_path: Path, text: str) -> pa.Table:
    return read_table(_written("log.csv", text.encode(), tmp_path))


def test_csv_ids_of_64_bits_stay_apart(tmp_path: Path) -> None:
    ids = [2**64 - 1, 2**64 - 2, 2**63]
    table = _csv(tmp_path, "id,x\n" + "".join(f"{i},1.5\n" for i in ids))
    assert table["id"].to_pylist() == ids
    # A float that is merely large stays a float.
    assert _csv(tmp_path, "x\n1e300\n2.5\n")["x"].to_pylist() == [1e300, 2.5]


def test_a_csv_type_is_that_of_the_whole_column(tmp_path: Path) -> None:
    table = _csv(tmp_path, "a,b\n" + "1,2\n" * 400_000 + "x,3.5\n")
    assert table["a"].slice(399_999).to_pylist() == ["1", "x"]
    assert table["b"].type == pa.float64()


def test_missing_cells_of_a_csv(tmp_path: Path) -> None:
    table = _csv(tmp_path, "a,b,c\n,NA,NA\n1,x,2\nNaN,,\n")
    assert table.to_pydict() == {"a": [None, 1, None], "b": [None, "x", None], "c": [None, 2, None]}


@pytest.mark.parametrize(
    "text", ["a;b\n1;2\n", "a\tb\n1\t2\n", "\ufeffa,b\n1,2\n", '"a",b\r\n1,2\r\n']
)
def test_csv_dialects(tmp_path: Path, text: str) -> None:
    assert _csv(tmp_path, text).to_pydict() == {"a": [1], "b": [2]}


def test_a_line_break_in_the_last_cell_is_no_damage(tmp_path: Path) -> None:
    assert _csv(tmp_path, 'a,b\n1,"x\ny"\n')["b"].to_pylist() == ["x\ny"]


def test_line_breaks_in_cells_of_a_long_csv(tmp_path: Path) -> None:
    # Long enough for several blocks of Arrow's reader, whose ends then fall into a cell.
    cells = [f"{i}\n" * 50 for i in range(20_000)]
    table = _csv(tmp_path, "a,b\n" + "".join(f'{i},"{cell}"\n' for i, cell in enumerate(cells)))
    assert table["b"].to_pylist() == cells


def test_a_gzipped_byte_order_mark_is_no_name(tmp_path: Path) -> None:
    path = _written("log.csv.gz", gzip.compress("\ufeffa,b\n1,2\n".encode()), tmp_path)
    assert read_table(path).to_pydict() == {"a": [1], "b": [2]}


def test_repetitive_text_comes_dictionary_encoded(tmp_path: Path) -> None:
    table = pa.table(
        {"few": ["alpha", "beta"] * 5000, "many": [f"value {i}" for i in range(10_000)]}
    )
    for write in (_parquet_file, _csv_file, _parquet_folder):
        (tmp_path / write.__name__).mkdir()
        read = read_table(write(table, tmp_path / write.__name__))
        assert pa.types.is_dictionary(read["few"].type)
        assert not pa.types.is_dictionary(read["many"].type)
        assert read.to_pydict() == table.to_pydict()


def test_types_are_normalised() -> None:
    nan = float("nan")
    table = read_table(
        pa.table(
            {
                "nan": pa.array([1.0, nan], from_pandas=False),
                "half": pa.array([1.0, nan], pa.float32()).cast(pa.float16()),
                "money": [Decimal("1.50"), None],
                "whole": pa.array([Decimal(2**53 + 1), None], pa.decimal128(20, 0)),
                "long": pa.array([Decimal(10**25), None], pa.decimal128(30, 0)),
                "bytes": [b"text", None],
                "image": [b"\xff\xd8", b"\xff"],
                "view": pa.array(["x", None], pa.string_view()),
                "tag": pa.array(["x", None]).dictionary_encode(),
            }
        )
    )
    assert table.to_pydict() == {
        "nan": [1.0, None],
        "half": [1.0, None],
        "money": [1.5, None],
        "whole": [2**53 + 1, None],
        "long": [str(10**25), None],
        "bytes": ["text", None],
        "image": [b"\xff\xd8", b"\xff"],
        "view": ["x", None],
        "tag": ["x", None],
    }
    assert table["view"].type == pa.large_string()
    assert table["nan"].null_count == 1


def test_polars_categories_and_nan() -> None:
    frame = pl.DataFrame({"a": ["x", "y", None], "b": [1.0, float("nan"), None]})
    frame = frame.with_columns(
        pl.col("a").cast(pl.Categorical).alias("c"),
        pl.col("a").cast(pl.Enum(["y", "x"])).alias("e"),
    )
    table = read_table(frame)
    assert table["b"].to_pylist() == [1.0, None, None]
    for name in "ce":
        assert table[name].type == pa.dictionary(pa.int32(), pa.large_string())
        assert table[name].to_pylist() == ["x", "y", None]


def test_a_pandas_index_is_no_column() -> None:
    assert read_table(pd.DataFrame({"a": [1, 2]}, index=["x", "y"])).column_names == ["a"]


def test_require_columns_names_every_missing_one() -> None:
    table = pa.table({"user_id": [1], "income": [2]})
    require_columns(table, ["income"], "the tasks")
    with pytest.raises(UserError) as caught:
        require_columns(table, ["incom", "user", "incom"], "the tasks")
    assert str(caught.value) == (
        "the tasks: the table lacks 2 columns: 'incom' - did you mean 'income'?;"
        " 'user' - did you mean 'user_id'?"
    )


def test_nearest() -> None:
    assert nearest("MMOE", ["mmoe", "ple"]) == " - did you mean 'mmoe'?"
    assert nearest("zzz", ["mmoe", "ple"]) == " - known: 'mmoe', 'ple'"
    assert nearest("zzz", [f"name{i}" for i in range(50)]) == ""
    assert nearest("zzz", []) == ""
    assert nearest("click", ["Click", "click"]) == " - did you mean 'Click'?"


def test_real_files_lose_nothing_but_words_for_missing(data_folder: Path) -> None:
    path = data_folder / "census_income_test.parquet"
    plain = pq.read_table(path)
    read = read_table(path)
    assert read.column_names == plain.column_names
    for name in plain.column_names:
        expected = plain[name]
        if pa.types.is_large_string(expected.type):
            is_word = pc.is_in(expected, value_set=pa.array(["?", "NA"], expected.type))
            expected = pc.if_else(is_word, pa.scalar(None, expected.type), expected)
        assert read[name].cast(expected.type).equals(expected)
