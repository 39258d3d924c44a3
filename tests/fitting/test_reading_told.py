"""What a fit says of the columns that it read: those not used, those guessed, how rows were parted."""

import numpy as np
import pyarrow as pa
import pytest

from polytask import fit
from polytask.config import validate_config
from polytask.data.readers import TableSource
from polytask.fitting import Prepared, inspect_table, prepare


@pytest.fixture(scope="module")
def visits() -> pa.Table:
    """600 rows: a number with one dash, codes, a list, a constant, a time in days, a label."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=600)
    texts = [f"{value:.4f}" for value in x]
    texts[4] = "-"
    return pa.table(
        {
            "price": texts,
            "visits": draw.integers(1, 90, 600),
            "user_id": draw.integers(1, 30, 600),
            "tags": [["a"] * (row % 3) for row in range(600)],
            "country": ["nz"] * 600,
            "day": np.arange(600) // 10,
            "click": (x + draw.normal(size=600) > 0).astype(int),
        }
    )


def prepared(table: pa.Table, parts: dict[str, TableSource] | None = None, **o: object) -> Prepared:
    return prepare(validate_config({"tasks": ["click:binary"], **o}), table, parts=parts)


def test_the_record_names_what_is_not_used_and_why(visits: pa.Table) -> None:
    run = fit(visits, "click", epochs=1, baseline="none", intervals=False, ignore=["day"])
    data = run.metrics.data
    assert set(data.unused_columns) == {"tags", "country"}
    assert "a list" in data.unused_columns["tags"]
    assert "the same value in every row" in data.unused_columns["country"]
    _, inspected = inspect_table(validate_config({"tasks": ["click"], "ignore": ["day"]}), visits)
    assert {column.name: column.reason for column in inspected.unused} == data.unused_columns
    assert data.split == "at random, seed 0"
    assert any(note.startswith("price: ") for note in data.notes)
    assert any(note.startswith("taken for numbers: visits") for note in data.notes)


def test_the_split_is_told_in_words(visits: pa.Table) -> None:
    assert prepared(visits, split_by="user_id", split_seed=3).split == "by user_id, seed 3"
    by_time = prepared(visits, time_column="day", valid_from="40", test_from="50")
    assert by_time.split == "by time: validation from 40 and test from 50 of day"
    parts: dict[str, TableSource] = {"test": visits.slice(0, 90)}
    with_test = prepared(visits, parts)
    assert with_test.split == "at random, seed 0; test is a table of its own"
    both = prepared(visits, parts | {"valid": visits.slice(90, 90)})
    assert both.split == "as given: validation and test are tables of their own"


def test_a_test_table_has_notes_of_its_own(visits: pa.Table) -> None:
    odd = visits.slice(0, 90)
    odd = odd.set_column(1, "visits", pa.array([f"{n:,}" for n in range(1000, 1090)]))
    parts: dict[str, TableSource] = {"test": odd}
    told = [note for note in prepared(visits, parts).notes if note.startswith("test: ")]
    assert len(told) == 1 and "visits" in told[0]
