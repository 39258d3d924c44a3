"""Weights of rows, per task, by a column."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.columns.numbers import finite_numbers, first_number
from polytask.columns.required import require_columns
from polytask.errors import UserError, nearest
from polytask.task import Task

EVERY_TASK = "*"


def encode_weights(
    table: pa.Table, tasks: Sequence[Task], columns: Mapping[str, str]
) -> dict[str, NDArray[np.float32]]:
    """Weights (B,) of the weighted tasks by their names.

    `columns` goes from a task's name, or "*" for every task, to a column; a task's own entry stands
    before that of "*". UserErrors: an unknown task or column; a weight that is missing, negative or
    infinite; weights that sum to 0.

    >>> from polytask.task import binary
    >>> table = pa.table({"seconds": [1.0, 2.5]})
    >>> {name: w.tolist() for name, w in encode_weights(table, [binary("buy")], {"*": "seconds"}).items()}
    {'buy': [1.0, 2.5]}
    """
    names = [task.name for task in tasks]
    for name in columns:
        if name not in (*names, EVERY_TASK):
            hint = nearest(name, [*names, EVERY_TASK])
            raise UserError(f"weight column for an unknown task {name!r}{hint}")
    require_columns(table, columns.values(), "the weights")
    weights = {column: _column_weights(table, column) for column in set(columns.values())}
    used = {name: columns.get(name, columns.get(EVERY_TASK)) for name in names}
    return {name: weights[column] for name, column in used.items() if column is not None}


def _column_weights(table: pa.Table, name: str) -> NDArray[np.float32]:
    what = f"the weight column {name!r}"
    weights_B = finite_numbers(table[name], what)
    wrong_B = np.isnan(weights_B) | (weights_B < 0)
    if wrong_B.any():
        raise UserError(f"{what} is missing or negative in {first_number(weights_B, wrong_B)}")
    if not weights_B.any():
        raise UserError(f"{what} is 0 in every row")
    return weights_B.astype(np.float32)
