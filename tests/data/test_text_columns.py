"""Text that is numbers, and words that stand for a missing value."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polytask.data.notes import notes_of
from polytask.data.options import ReadOptions
from polytask.data.readers import TableSource, read_table

N = 2000
NUMBERS = np.random.default_rng(0).normal(size=N).round(4)
CENTS = np.array([float(f"{x:.2f}") for x in NUMBERS])


def _written(folder: Path, columns: dict[str, Sequence[str]], separator: str = ",") -> Path:
    path = folder / "t.csv"
    pd.DataFrame(columns).to_csv(path, index=False, sep=separator)
    return path


def _one_of(texts: list[str], mark: str, row: int = 5) -> list[str]:
    return [*texts[:row], mark, *texts[row + 1 :]]


@pytest.mark.parametrize("mark", ["—", "-", "\\N", "None", "N/A", "NA", "?", "<0.1", "unknown"])
@pytest.mark.parametrize("source", ["csv", "pandas", "parquet"])
def test_one_odd_value_among_numbers_is_missing(mark: str, source: str, tmp_path: Path) -> None:
    texts = _one_of([str(x) for x in NUMBERS], mark)
    table: TableSource = pd.DataFrame({"x": texts})
    if source == "csv":
        table = _written(tmp_path, {"x": texts})
    elif source == "parquet":
        pq.write_table(pa.table({"x": texts}), tmp_path / "t.parquet")
        table = tmp_path / "t.parquet"
    read = read_table(table)
    assert read["x"].to_pylist() == [*NUMBERS[:5], None, *NUMBERS[6:]]
    # Arrow reads these few as missing by itself, where all else is numbers.
    if source != "csv" or mark not in ("N/A", "NA"):
        (note,) = notes_of(read)
        assert note.startswith("x: text read as numbers")
        assert f"{mark!r} missing in 1 row (the first is row 5, counting from 0)" in note


def test_a_tenth_may_be_question_marks(tmp_path: Path) -> None:
    texts = [str(x) if i % 10 else "?" for i, x in enumerate(NUMBERS)]
    read = read_table(_written(tmp_path, {"x": texts}))
    assert read["x"].null_count == N // 10
    assert read["x"].drop_null().to_pylist() == [x for i, x in enumerate(NUMBERS) if i % 10]
    assert "'?' missing in 200 rows (the first is row 0" in notes_of(read)[0]


def _comma(x: float) -> str:
    return str(x).replace(".", ",")


WAYS = {
    "decimal commas": ([_comma(x) for x in NUMBERS], NUMBERS, "decimal commas"),
    "thousands": ([f"{x * 1e6:,.2f}" for x in NUMBERS], NUMBERS * 1e6, "thousands"),
    "thousands by spaces": (
        [f"{x * 1e6:,.1f}".replace(",", "\u00a0") for x in NUMBERS],
        NUMBERS * 1e6,
        "thousands parted by ' '",
    ),
    "European": (
        [f"{x * 1e6:,.2f}".translate(str.maketrans(",.", ".,")) for x in NUMBERS],
        NUMBERS * 1e6,
        "decimal commas, thousands parted by '.'",
    ),
    "currency before": ([f"${x:.2f}" for x in NUMBERS], CENTS, "$ left out"),
    "currency after": ([f"{_comma(x)} €" for x in NUMBERS], NUMBERS, "decimal commas, € left out"),
    "sign before currency": (
        [f"{'-' if x < 0 else ''}${abs(x):.2f}" for x in NUMBERS],
        CENTS,
        "$ left out",
    ),
    "per cent": ([f"{x:.2f}%" for x in NUMBERS], CENTS, "% left out"),
    "typographic minus": ([str(x).replace("-", "\u2212") for x in NUMBERS], NUMBERS, ""),
    "spaces around": ([f" {x} " for x in NUMBERS], NUMBERS, ""),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("separator", [None, ",", ";"])
def test_numbers_as_people_write_them(way: str, separator: str | None, tmp_path: Path) -> None:
    texts, expected, words = WAYS[way]
    source: TableSource = pd.DataFrame({"x": texts})
    if separator is not None:
        source = _written(tmp_path, {"x": texts, "k": ["a"] * N}, separator)
    read = read_table(source)
    np.testing.assert_allclose(read["x"].to_numpy(), expected, rtol=1e-12)
    if separator is None:
        assert words in notes_of(read)[0]


STAY_TEXT = {
    "lists of ids": ("tag", ["39", "8,12", "1,2,3", "12,65"] * 50),
    "pairs of ids": ("tag", [f"{i % 60},{i % 7}" if i % 2 else str(i % 60) for i in range(200)]),
    "zeros in front": ("price", [f"{i:03}" for i in range(200)]),
    "a name that says a code": ("user_id", [str(i) for i in range(200)]),
    "many digits": ("h", [str(10**20 + i) for i in range(200)]),
    "dates": ("d", [f"2022-04-{1 + i % 28:02}" for i in range(200)]),
    "clock": ("c", [f"{i % 24}:30" for i in range(200)]),
    "addresses": ("a", [f"10.0.{i}.1" for i in range(200)]),
    "few numbers and a word": ("rooms", ["1", "2", "3", "many"] * 50),
    "ranges": ("r", [f"{i}-{i + 9}" for i in range(200)]),
    "a third is words": ("x", [str(i) if i % 3 else f"far {i}" for i in range(200)]),
    "numbers in words": ("x", [f"item {i}" for i in range(200)]),
    "two currencies": ("x", [f"{'$€'[i % 2]}{i}" for i in range(200)]),
}


@pytest.mark.parametrize("case", STAY_TEXT)
def test_what_is_no_column_of_numbers_stays_text(case: str) -> None:
    name, values = STAY_TEXT[case]
    read = read_table(pd.DataFrame({name: values}))
    assert read[name].to_pylist() == values
    assert notes_of(read) == ()


DOUBTS = {
    "pairs of numbers": ([f"{i % 60},{i % 7}" for i in range(200)], "pass --decimal=','"),
    "pairs of long numbers": ([f"{100 + i},{300 + i}" for i in range(200)], "pass --decimal=','"),
    "many odd values": (
        [str(i) if i % 6 else f"about {i}" for i in range(300)],
        "too many of its values are no numbers, such as 'about 0', 'about 6', 'about 12'",
    ),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_text_that_may_be_numbers_stays_text_and_is_noted(case: str) -> None:
    values, words = DOUBTS[case]
    read = read_table(pd.DataFrame({"x": values}))
    assert read["x"].to_pylist() == values
    assert words in notes_of(read)[0]


def test_declared_categories_stay_as_they_are() -> None:
    read = read_table(pd.DataFrame({"grade": pd.Categorical(["1", "2", "3"])}))
    assert read["grade"].to_pylist() == ["1", "2", "3"]


def test_zero_and_one_as_text_are_the_numbers() -> None:
    read = read_table(pd.DataFrame({"click": ["0", "1", "1"], "like": ["0.0", "1.0", "nan"]}))
    assert read.to_pydict() == {"click": [0, 1, 1], "like": [0, 1, None]}
    assert [field.type for field in read.schema] == [pa.int64(), pa.int64()]


def test_the_decimal_sign_decides_where_the_column_cannot(tmp_path: Path) -> None:
    path = _written(tmp_path, {"x": ["1,234", "2,500"] * 20, "y": ["a", "b"] * 20}, "\t")
    assert read_table(path, options=ReadOptions(decimal=","))["x"].to_pylist()[:2] == [1.234, 2.5]
    assert read_table(path, options=ReadOptions(decimal="."))["x"].to_pylist()[:2] == [1234, 2500]


def test_numbers_beside_decimal_commas_of_a_file_have_parted_thousands(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x;y\n0,5;1.000\n1,5;20.500\n")
    assert read_table(path).to_pydict() == {"x": [0.5, 1.5], "y": [1000, 20500]}


@pytest.mark.parametrize(
    "word", ["nan", "NaN", "NA", "null", "NULL", "?", "None", "\\N", "<NA>", ""]
)
def test_words_for_missing(word: str, tmp_path: Path) -> None:
    texts = ["news", word, "sport", word]
    for source in (pd.DataFrame({"a": texts}), _written(tmp_path, {"a": texts, "b": list("wxyz")})):
        read = read_table(source)
        assert read["a"].to_pylist() == ["news", None, "sport", None]
        if word:
            assert notes_of(read) == (f"a: {word!r} taken for missing in 2 rows",)


def test_dictionaries_lose_words_for_missing_too() -> None:
    text = pa.array(["a", "?", "b", "?", None]).dictionary_encode()
    read = read_table(pa.table({"a": pa.chunked_array([text, text.slice(3)])}))
    assert read["a"].to_pylist() == ["a", None, "b", None, None, None, None]
    assert notes_of(read) == ("a: '?' taken for missing in 3 rows",)


def test_namibia_is_a_country() -> None:
    countries = ["DE", "NA", "US", "FR", "?"]
    read = read_table(
        pd.DataFrame({"country": countries, "word": ["far", "NA", "near", "up", "?"]})
    )
    assert read["country"].to_pylist() == ["DE", "NA", "US", "FR", None]
    assert read["word"].to_pylist() == ["far", None, "near", "up", None]


def test_words_that_the_user_names() -> None:
    frame = pd.DataFrame({"click": [0, -1, 1], "watch": [-1, 0, 2], "kind": ["?", "none", "a"]})
    named = read_table(frame, options=ReadOptions(missing=("none", "click=-1")))
    assert named.to_pydict() == {
        "click": [0, None, 1],
        "watch": [-1, 0, 2],
        "kind": ["?", None, "a"],
    }
    assert notes_of(named) == (
        "click: -1 taken for missing in 1 row",
        "kind: 'none' taken for missing in 1 row",
    )
    everywhere = read_table(frame, options=ReadOptions(missing=("-1",)))
    assert everywhere["watch"].to_pylist() == [None, 0, 2]


def test_a_few_rows_are_read_as_the_training_table_was() -> None:
    texts = {"country": ("DE", "NA"), "code": ("1", "2")}
    fitted = ReadOptions(numbers=["x"], text=texts, values=texts)
    row = {"x": ["-"], "country": ["NA"], "code": ["1"], "word": ["NA"]}
    read = read_table(pd.DataFrame(row), options=fitted)
    assert read.to_pydict() == {"x": [None], "country": ["NA"], "code": ["1"], "word": [None]}


def test_text_that_is_asked_for_stays_text(tmp_path: Path) -> None:
    options = ReadOptions(text=["a"])
    path = _written(tmp_path, {"a": ["1.50", "7", "?"], "b": ["1.50", "7", "8"]})
    for source in (path, pd.DataFrame({"a": ["1.50", "7", "?"], "b": ["1.50", "7", "8"]})):
        read = read_table(source, options=options)
        assert read.to_pydict() == {"a": ["1.50", "7", None], "b": [1.5, 7, 8]}
    assert read_table(pa.table({"a": [1, 2]}), options=options)["a"].to_pylist() == ["1", "2"]


def test_whole_numbers_with_gaps_are_whole_however_they_are_read(tmp_path: Path) -> None:
    path = _written(tmp_path, {"grade": ["1", "", "3"], "x": ["1.5", "", "2"]})
    for source in (path, pd.read_csv(path)):
        read = read_table(source)
        assert read["grade"].type == pa.int64()
        assert read.to_pydict() == {"grade": [1, None, 3], "x": [1.5, None, 2.0]}
    # Beyond 2^53 a float is no whole number that one could rely on.
    assert read_table(pa.table({"h": [2.0**60, None]}))["h"].type == pa.float64()


def test_notes_follow_a_column_into_parts_of_the_table() -> None:
    read = read_table(pd.DataFrame({"a": ["x", "?", "y"], "b": [1, 2, 3]}))
    part = read.take([0, 1]).append_column("c", pa.array([1, 2])).slice(0, 1)
    assert notes_of(part.select(["b", "a"])) == ("a: '?' taken for missing in 1 row",)
    assert notes_of(part.select(["b"])) == ()
