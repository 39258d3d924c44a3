"""A column as float64, NaN where missing, and clear words where it holds no numbers."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.columns.values import (
    Coded,
    coded,
    decoded,
    first_of,
    is_number,
    is_text,
    parsed_numbers,
    told,
    value_type,
)
from polytask.errors import UserError


def numbers(column: pa.ChunkedArray, what: str) -> NDArray[np.float64]:
    """The column's numbers; text counts where every value is a number. `what` names it in errors."""
    column = decoded(column)
    dtype = value_type(column.type)
    if is_text(dtype):
        return _numbers_of_text(coded(column, what), what)
    if pa.types.is_null(dtype):
        return np.full(len(column), np.nan)
    if pa.types.is_boolean(dtype):
        column = column.cast(pa.uint8())
    elif not (is_number(dtype) or pa.types.is_decimal(dtype)):
        raise UserError(f"{what} holds {dtype}, where numbers are due")
    values: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    return values


def finite_numbers(column: pa.ChunkedArray, what: str) -> NDArray[np.float64]:
    """The column's numbers, NaN where missing; an infinity is a UserError."""
    values = numbers(column, what)
    infinite = np.isinf(values)
    if infinite.any():
        raise UserError(
            f"{what} is infinite in {first_number(values, infinite)}: "
            "replace these values, or leave them missing"
        )
    return values


def first_number(values_B: NDArray[np.float64], chosen_B: NDArray[np.bool_]) -> str:
    """How many rows were chosen, and the first of them, for messages."""
    first = int(np.argmax(chosen_B))
    rows = told(np.count_nonzero(chosen_B), "row")
    return f"{rows} (first {values_B[first]:g} in row {first}, counting from 0)"


def _numbers_of_text(column: Coded, what: str) -> NDArray[np.float64]:
    number_of = parsed_numbers(column.values)
    wrong_B = column.spread(pc.is_null(number_of).to_numpy(zero_copy_only=False), missing=0)
    if wrong_B.any():
        raise UserError(f"{what} holds text where numbers are due: {first_of(column, wrong_B)}")
    return column.spread(number_of.to_numpy(zero_copy_only=False), missing=np.nan)
