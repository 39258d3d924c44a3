"""Weights of rows, per task: by a column, by a number, or both."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.columns.numbers import finite_numbers, first_number
from polytask.data.readers import require_columns
from polytask.errors import UserError, nearest
from polytask.task import Task

EVERY_TASK = "*"


def encode_weights(
    table: pa.Table,
    tasks: Sequence[Task],
    *,
    weight_columns: Mapping[str, str],
    weight_numbers: Mapping[str, float],
) -> NDArray[np.float32] | None:
    """Weights (B, T), or None where nothing is weighted.

    Both mappings go from a task's name, or "*" for every task, to a column or a number; a task's
    own entry stands before that of "*". A row's weight is column times number. UserErrors: an
    unknown task or column; a weight that is missing, negative or infinite; weights that sum to 0.
    """
    names = [task.name for task in tasks]
    _require_known(weight_columns, names, "weight column")
    _require_known(weight_numbers, names, "weight")
    if not weight_columns and not weight_numbers:
        return None
    require_columns(table, weight_columns.values(), "the weights")
    weights_BT = np.ones((table.num_rows, len(names)), dtype=np.float32)
    columns = {name: _column_weights(table, name) for name in set(weight_columns.values())}
    for index, name in enumerate(names):
        column = weight_columns.get(name, weight_columns.get(EVERY_TASK))
        number = weight_numbers.get(name, weight_numbers.get(EVERY_TASK, 1.0))
        if not 0 < number < np.inf:
            raise UserError(f"the weight of task {name!r} must be positive, but it is {number}")
        weights_BT[:, index] = number if column is None else columns[column] * number
    return weights_BT


def _require_known(mapping: Mapping[str, object], names: Iterable[str], what: str) -> None:
    known = [*names, EVERY_TASK]
    for name in mapping:
        if name not in known:
            raise UserError(f"{what} for an unknown task {name!r}{nearest(name, known)}")


def _column_weights(table: pa.Table, name: str) -> NDArray[np.float64]:
    what = f"the weight column {name!r}"
    weights_B = finite_numbers(table[name], what)
    wrong_B = np.isnan(weights_B) | (weights_B < 0)
    if wrong_B.any():
        raise UserError(f"{what} is missing or negative in {first_number(weights_B, wrong_B)}")
    if not weights_B.any():
        raise UserError(f"{what} is 0 in every row")
    return weights_B
