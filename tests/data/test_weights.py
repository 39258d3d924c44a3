"""Weights of rows: by a column, by a number, per task or for all."""

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest

from polytask.data.weights import encode_weights
from polytask.errors import UserError
from polytask.task import binary

TARGETS = [binary(name, name) for name in ("click", "like", "follow")]


def weights(
    table: pa.Table, columns: Mapping[str, str], numbers: Mapping[str, float]
) -> np.ndarray | None:
    return encode_weights(table, TARGETS, weight_columns=columns, weight_numbers=numbers)


def test_a_tasks_own_entry_stands_before_that_of_all() -> None:
    table = pa.table({"w": [1.0, 0.0, 2.0], "v": pa.array([3, 4, 5], pa.int8())})
    found = weights(table, {"*": "w", "like": "v"}, {"*": 2.0, "follow": 0.5})
    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[2, 6, 0.5], [0, 8, 0], [4, 10, 1]])


def test_one_task_may_be_weighted_alone() -> None:
    table = pa.table({"w": [1.0, 3.0]})
    np.testing.assert_array_equal(weights(table, {"like": "w"}, {}), [[1, 1, 1], [1, 3, 1]])
    np.testing.assert_array_equal(weights(table, {}, {"click": 3}), [[3, 1, 1], [3, 1, 1]])


def test_nothing_weighted_is_none() -> None:
    assert weights(pa.table({"w": [1.0]}), {}, {}) is None


@pytest.mark.parametrize(
    ("values", "columns", "numbers", "message"),
    [
        ([1.0, -1.0, -2.0], {"*": "w"}, {}, "'w' is missing or negative in 2 rows .first -1 in row 1"),
        ([1.0, None, 1.0], {"*": "w"}, {}, "1 row .first nan in row 1"),
        ([1.0, math.nan, 1.0], {"*": "w"}, {}, "first nan in row 1"),
        ([1.0, math.inf, 1.0], {"*": "w"}, {}, "infinite"),
        ([0.0, 0.0, 0.0], {"*": "w"}, {}, "0 in every row"),
        (["a", "b", "c"], {"*": "w"}, {}, "text where numbers are due"),
        ([1.0], {"*": "wait"}, {}, "'wait' - did you mean 'w'|'wait' - known"),
        ([1.0], {"clik": "w"}, {}, "unknown task 'clik' - did you mean 'click'"),
        ([1.0], {}, {"clik": 1.0}, "unknown task 'clik'"),
        ([1.0], {}, {"click": -1.0}, "must be positive, but it is -1"),
        ([1.0], {}, {"*": math.nan}, "must be positive"),
    ],
)  # fmt: skip
def test_wrong_weights_are_told(
    values: list[object], columns: dict[str, str], numbers: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        weights(pa.table({"w": values}), columns, numbers)
