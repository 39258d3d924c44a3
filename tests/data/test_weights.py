"""Weights of rows: by a column, per task or for all."""

import math

import numpy as np
import pyarrow as pa
import pytest

from polytask.data.weights import encode_weights
from polytask.errors import UserError
from polytask.task import binary

TARGETS = [binary(name, name) for name in ("click", "like", "follow")]


def test_a_tasks_own_entry_stands_before_that_of_all() -> None:
    table = pa.table({"w": [1.0, 0.0, 2.0], "v": pa.array([3, 4, 5], pa.int8())})
    found = encode_weights(table, TARGETS, {"*": "w", "like": "v"})
    assert {weights_B.dtype for weights_B in found.values()} == {np.dtype(np.float32)}
    by_w, by_v = [1, 0, 2], [3, 4, 5]
    expected = {"click": by_w, "like": by_v, "follow": by_w}
    assert {name: weights_B.tolist() for name, weights_B in found.items()} == expected


def test_tasks_without_an_entry_have_no_weights() -> None:
    table = pa.table({"w": [1.0, 3.0]})
    assert list(encode_weights(table, TARGETS, {"like": "w"})) == ["like"]
    assert encode_weights(table, TARGETS, {}) == {}


@pytest.mark.parametrize(
    ("values", "columns", "message"),
    [
        ([1.0, -1.0, -2.0], {"*": "w"}, "'w' is missing or negative in 2 rows .first -1 in row 1"),
        ([1.0, None, 1.0], {"*": "w"}, "1 row .first nan in row 1"),
        ([1.0, math.nan, 1.0], {"*": "w"}, "first nan in row 1"),
        ([1.0, math.inf, 1.0], {"*": "w"}, "infinite"),
        ([0.0, 0.0, 0.0], {"*": "w"}, "0 in every row"),
        (["a", "b", "c"], {"*": "w"}, "text where numbers are due"),
        ([1.0], {"*": "wait"}, "'wait' - did you mean 'w'|'wait' - known"),
        ([1.0], {"clik": "w"}, "unknown task 'clik' - did you mean 'click'"),
    ],
)  # fmt: skip
def test_wrong_weights_are_told(
    values: list[object], columns: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        encode_weights(pa.table({"w": values}), TARGETS, columns)
