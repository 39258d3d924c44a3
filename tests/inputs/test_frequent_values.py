"""Frequent values: which numbers are read one by one, and what later rows find."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from polytask.errors import UserError
from polytask.inputs import FrequentValues, repeating


def test_rare_values_share_one_id_and_missing_ones_another() -> None:
    train = pa.table({"paid": [5.0] * 3 + [0.0] * 4 + [7.0, None]})
    paid = FrequentValues.fit(train, ["paid"], value_count=3)
    assert paid.values == ((0.0, 5.0),)
    later = pa.table({"paid": [5.0, 7.0, None, -0.0, 1e300, -1e300]})
    assert paid.encode(later).flatten().tolist() == [3, 1, 0, 2, 1, 1]


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.string(), pa.decimal128(4, 1)])
def test_a_value_is_itself_in_every_type(kind: pa.DataType) -> None:
    train = pa.table({"dose": pa.array([1.1, 1.1, 2.5, 2.5], pa.float64())})
    dose = FrequentValues.fit(train, ["dose"], value_count=2)
    later = pa.table({"dose": pa.array([1.1, 2.5]).cast(kind)})
    assert dose.encode(later).flatten().tolist() == [2, 3]


def test_only_columns_with_three_frequent_values_of_long_tables_repeat() -> None:
    rows = np.arange(10_000)
    columns = {
        "three": rows % 3,
        "two": rows % 2,
        "one a row": rows,
        "heap": np.where(rows < 9_000, 0, rows),
        "three in twenty": np.where(rows < 60, rows % 3, rows),
        "three in nineteen": np.where(rows < 57, rows % 3, rows + 10),
    }
    table = pa.table(columns)
    assert repeating(table, [*columns]) == ("three", "three in twenty")
    assert repeating(table.slice(1), [*columns]) == ()


def test_a_warm_start_finds_the_vectors_by_value() -> None:
    old = FrequentValues.fit(pa.table({"x": [1, 1, 2, 2]}), ["x"], value_count=2)
    new = FrequentValues.fit(pa.table({"x": [2, 2, 3, 3]}), ["x"], value_count=2)
    module, earlier = new.module(), old.module()
    assert new.carry(module, old, earlier) == 3
    rows, theirs = module.rows_of(0), earlier.rows_of(0)
    assert torch.equal(rows[[0, 1, 2]], theirs[[0, 1, 3]])
    assert not torch.equal(rows[3], theirs[2])


def test_options_and_records_that_make_no_sense() -> None:
    table = pa.table({"x": [1, 1]})
    with pytest.raises(UserError, match="value_count=0"):
        FrequentValues.fit(table, ["x"], value_count=0)
    with pytest.raises(UserError, match="ascend"):
        FrequentValues(("x",), ((2.0, 1.0),), 4)
    with pytest.raises(UserError, match="holds text where numbers are due"):
        FrequentValues.fit(pa.table({"x": ["a"]}), ["x"])
