"""Splits: no row in two parts, keys on one side, the same on every machine."""

import datetime
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytask.data.readers import read_table
from polytask.data.splits import Cutoff, Split, split_by_cutoffs, split_by_key, split_random
from polytask.errors import UserError

quick = settings(max_examples=40, deadline=None)
fractions = st.floats(0.1, 0.4)


def check_parts(split: Split, num_rows: int) -> None:
    parts = (split.train, split.valid, split.test)
    for rows in parts:
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()
    together = np.concatenate(parts)
    assert sorted(together.tolist()) == list(range(num_rows))


@quick
@given(st.integers(20, 300), fractions, fractions, st.integers(0, 2**64))
def test_random_parts_have_their_sizes(num_rows: int, valid: float, test: float, seed: int) -> None:
    split = split_random(num_rows, valid_fraction=valid, test_fraction=test, seed=seed)
    check_parts(split, num_rows)
    assert len(split.valid) == round(num_rows * valid)
    assert len(split.test) == round(num_rows * test)
    again = split_random(num_rows, valid_fraction=valid, test_fraction=test, seed=seed)
    np.testing.assert_array_equal(split.test, again.test)


def test_random_rows_look_random() -> None:
    splits = [
        split_random(10_000, valid_fraction=0, test_fraction=0.5, seed=seed).test
        for seed in range(20)
    ]
    for rows in splits:
        assert rows.mean() == pytest.approx(5000, abs=200)
        assert (np.diff(rows) == 1).mean() == pytest.approx(0.5, abs=0.03)
        assert (rows % 2).mean() == pytest.approx(0.5, abs=0.03)
    overlap = [len(np.intersect1d(splits[0], rows)) for rows in splits[1:]]
    assert overlap == pytest.approx([2500] * 19, abs=200)


def test_a_fraction_of_0_leaves_a_part_empty_without_a_word() -> None:
    split = split_random(10, valid_fraction=0, test_fraction=0, seed=0)
    assert len(split.train) == 10
    assert len(split.valid) == len(split.test) == 0


@pytest.mark.parametrize(("valid", "test"), [(0.5, 0.5), (-0.1, 0), (1.5, 0), (float("nan"), 0)])
def test_wrong_fractions_are_refused(valid: float, test: float) -> None:
    with pytest.raises(UserError, match="fractions"):
        split_random(100, valid_fraction=valid, test_fraction=test, seed=0)


def test_too_few_rows_for_a_part_are_told() -> None:
    with pytest.raises(UserError, match="no row for test: there are 10 rows"):
        split_random(10, valid_fraction=0.3, test_fraction=0.01, seed=0)


@quick
@given(st.lists(st.integers(0, 60), min_size=100, max_size=300), st.integers(0, 1000))
def test_a_key_stays_on_one_side(keys: list[int], seed: int) -> None:
    try:
        split = split_by_key(
            pa.chunked_array([keys]), valid_fraction=0.3, test_fraction=0.3, seed=seed
        )
    except UserError:
        return  # Few keys can all fall on one side.
    check_parts(split, len(keys))
    sides = [{keys[row] for row in part} for part in (split.train, split.valid, split.test)]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


def test_a_key_has_its_side_whatever_its_type_and_company() -> None:
    values = list(range(500))
    reference = split_by_key(
        pa.chunked_array([values]), valid_fraction=0.2, test_fraction=0.2, seed=3
    )
    others = [
        pa.array(values, pa.int16()),
        pa.array(values, pa.float64()),
        pa.array([str(v) for v in values]),
        pa.array([str(v) for v in values]).dictionary_encode(),
    ]
    for other in others:
        split = split_by_key(
            pa.chunked_array([other]), valid_fraction=0.2, test_fraction=0.2, seed=3
        )
        np.testing.assert_array_equal(split.test, reference.test)
        np.testing.assert_array_equal(split.valid, reference.valid)
    backwards = split_by_key(
        pa.chunked_array([[*values[::-1], 1000]]), valid_fraction=0, test_fraction=0.2, seed=3
    )
    assert {values[::-1][row] for row in backwards.test if row < 500} == set(reference.test)


def test_key_fractions_are_about_right_and_seeds_differ() -> None:
    keys = pa.chunked_array([np.arange(20_000) + 2**60])
    split = split_by_key(keys, valid_fraction=0.1, test_fraction=0.3, seed=0)
    assert len(split.valid) == pytest.approx(2000, abs=150)
    assert len(split.test) == pytest.approx(6000, abs=250)
    other = split_by_key(keys, valid_fraction=0.1, test_fraction=0.3, seed=1)
    assert len(np.intersect1d(split.test, other.test)) == pytest.approx(1800, abs=150)


def test_splits_are_the_same_in_every_process() -> None:
    code = (
        "import pyarrow as pa\n"
        "from polytask.data.splits import split_by_key, split_random\n"
        "key = pa.chunked_array([['u%d' % i for i in range(40)]])\n"
        "print(split_by_key(key, valid_fraction=.2, test_fraction=.2, seed=0).test.tolist(),"
        "split_random(40, valid_fraction=.2, test_fraction=.2, seed=0).test.tolist())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    finished = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    # Frozen by that very code: a user who was in a test set must not move to a training set.
    by_key = "[6, 7, 9, 11, 19, 20, 21, 22, 23, 24, 27, 33, 37, 39]"
    assert finished.stdout.strip() == f"{by_key} [4, 6, 11, 19, 23, 29, 30, 37]"


def test_a_missing_key_is_counted() -> None:
    with pytest.raises(UserError, match="missing in 2 rows"):
        split_by_key(pa.chunked_array([[1, None, None]]), valid_fraction=0, test_fraction=0, seed=0)


def test_too_few_keys_are_told() -> None:
    with pytest.raises(UserError, match=r"the key has 1 value$"):
        split_by_key(pa.chunked_array([["a"] * 9]), valid_fraction=0.1, test_fraction=0, seed=0)


UTC = datetime.UTC
CUTOFFS = [
    (pa.array([3, 1, 2, 4, 5]), 3, 5),
    (pa.array([3, 1, 2, 4, 5]), "3", "5"),
    (pa.array([3, 1, 2, 4, 5], pa.int8()), 2.5, "4.5"),
    (pa.array([3, 1, 2, 4, 5], pa.uint64()), 3, 5),
    (pa.array([3.5, 1, 2, 4, 5]), 3, "5"),
    (pa.array(["2022-05-03", "2022-05-01", "2022-05-02", "2022-05-04", "2022-06-01"]), "2022-05-03", "2022-05-05"),
    (pa.array(["c", "a", "b", "d", "e"]).dictionary_encode(), "c", "e"),
    (pa.array([datetime.date(2022, 5, d) for d in (3, 1, 2, 4, 5)]), "2022-05-03", datetime.date(2022, 5, 5)),
    (pa.array([datetime.datetime(2022, 5, d, 12) for d in (3, 1, 2, 4, 5)]), "2022-05-03 12:00", "2022-05-04 18:00"),
    (pa.array([datetime.datetime(2022, 5, d, 12, tzinfo=UTC) for d in (3, 1, 2, 4, 5)]), "2022-05-03", "2022-05-05"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "valid_from", "test_from"), CUTOFFS)
def test_cutoffs_are_read_in_the_columns_type(
    column: pa.Array, valid_from: Cutoff, test_from: Cutoff
) -> None:
    split = split_by_cutoffs(pa.chunked_array([column]), valid_from=valid_from, test_from=test_from)
    check_parts(split, 5)
    assert [split.train.tolist(), split.valid.tolist(), split.test.tolist()] == [
        [1, 2],
        [0, 3],
        [4],
    ]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "+09:00", "America/St_Johns", "UTC"])
def test_a_cutoff_without_an_offset_is_of_the_columns_zone(zone: str) -> None:
    """One row a minute from midnight on: 10:00 of the local day is row 600, whatever UTC says."""
    naive = pa.array(
        [datetime.datetime(2026, 1, 1) + datetime.timedelta(minutes=m) for m in range(1440)]
    )
    local = pa.chunked_array([pc.assume_timezone(naive, "Asia/Tokyo" if zone[0] == "+" else zone)])
    column = local.cast(pa.timestamp("us", zone))
    split = split_by_cutoffs(column, valid_from="2026-01-01 10:00", test_from="2026-01-01T18:30")
    assert [part[0] for part in (split.train, split.valid, split.test)] == [0, 600, 18 * 60 + 30]


def test_a_cutoff_with_an_offset_is_that_instant() -> None:
    hours = pa.array([datetime.datetime(2026, 1, 1, h, tzinfo=UTC) for h in range(24)])
    column = pa.chunked_array([hours.cast(pa.timestamp("us", "Asia/Tokyo"))])
    split = split_by_cutoffs(column, valid_from=None, test_from="2026-01-01T14:00:00+02:00")
    assert split.test[0] == 12


def test_cutoffs_of_64_bit_integers_are_exact() -> None:
    column = pa.chunked_array([[2**53, 2**53 + 1, 2**53 + 2]])
    split = split_by_cutoffs(column, valid_from=None, test_from=2**53 + 1)
    assert split.train.tolist() == [0]
    text = split_by_cutoffs(column, valid_from=None, test_from=str(2**53 + 1))
    assert text.train.tolist() == [0]


def test_either_cutoff_may_be_absent() -> None:
    column = pa.chunked_array([[1, 2, 3]])
    only_valid = split_by_cutoffs(column, valid_from=3, test_from=None)
    assert [only_valid.valid.tolist(), only_valid.test.tolist()] == [[2], []]
    only_test = split_by_cutoffs(column, valid_from=None, test_from=3)
    assert [only_test.valid.tolist(), only_test.test.tolist()] == [[], [2]]


WRONG_CUTOFFS = [
    ([1, None, 3], 2, 3, "missing in 1 row:"),
    ([1.0, float("nan"), 3.0], 2, 3, "missing in 1 row:"),
    ([1, 2, 3], 3, 2, "comes after"),
    ([1, 2, 3], 1, 3, "no row for training: the column goes from 1 to 3"),
    ([1, 2, 3], 2, 2, "no row for validation: the column goes from 1 to 3"),
    ([1, 2, 3], 2, 9, "no row for test: the column goes from 1 to 3"),
    ([1, 2, 3], "soon", None, "'soon' cannot be compared with a column of int64"),
    (["a", "b"], 1, None, "1 cannot be compared with a column of string"),
    ([datetime.date(2022, 5, 1)] * 2, 20220501, None, "cannot be compared with a column of date32"),
]


@pytest.mark.parametrize(("values", "valid_from", "test_from", "message"), WRONG_CUTOFFS)
def test_wrong_cutoffs_are_told(
    values: list[object], valid_from: Cutoff | None, test_from: Cutoff | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        split_by_cutoffs(pa.chunked_array([values]), valid_from=valid_from, test_from=test_from)


@pytest.mark.data
def test_kuairand_splits_as_its_readme_says(data_folder: Path) -> None:
    table = read_table(data_folder / "kuairand_pure.parquet", columns=["time_ms"])
    split = split_by_cutoffs(table["time_ms"], valid_from=1651593600000, test_from="1651680000000")
    assert (len(split.train), len(split.valid), len(split.test)) == (150_212, 17_194, 26_555)
