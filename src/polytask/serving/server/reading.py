"""JSON -> the arrays of a graph, with words that name the column for whatever does not fit."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from polytask.errors import nearest
from polytask.serving.contract import MISSING_INTEGER, MISSING_TEXT, Contract, RawColumn

Arrays = Mapping[str, NDArray[np.generic]]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,19}")
_LARGEST_EXACT = 1 << 53
_SHOWN = 40


class BadRequestError(ValueError):
    """What is wrong with a request, in words."""


def arrays_of(contract: Contract, columns: Mapping[str, Sequence[object]]) -> Arrays:
    """The arrays of all columns, each as long as the longest; one of a single value is repeated."""
    lacking = [column.name for column in contract.columns if column.name not in columns]
    if lacking:
        raise _lacking(lacking, [name for name in columns if name not in _names(contract)])
    lengths = {column.name: len(columns[column.name]) for column in contract.columns}
    num_rows = max(lengths.values())
    for name, length in lengths.items():
        if length not in (1, num_rows):
            raise BadRequestError(
                f"column {name!r} has {length} values, but others have {num_rows}"
            )
        if length == 0:
            raise BadRequestError(f"column {name!r} has no values: there are no rows to predict")
    arrays = {}
    for column in contract.columns:
        array = array_of(column, columns[column.name])
        arrays[column.name] = array if len(array) == num_rows else np.repeat(array, num_rows)
    return arrays


def _lacking(names: Sequence[str], others: Sequence[str]) -> BadRequestError:
    """Names the one first that another column was perhaps meant to be."""
    hints = {name: nearest(name, others) for name in names}
    meant = [name for name, hint in hints.items() if "did you mean" in hint]
    first = (meant or names)[0]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return BadRequestError(f"column {first!r} is lacking{more}{hints[first] if meant else ''}")


def array_of(column: RawColumn, values: Sequence[object]) -> NDArray[np.generic]:
    """One column's array; what fits as it is needs no loop of Python's."""
    types = set(map(type, values))
    if column.holds == "numbers" and types <= {int, float, type(None)}:
        return _finite(column, values)
    if column.holds == "integers" and types == {int}:
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            pass
    if column.holds == "texts" and types == {str}:
        return np.array(_texts(column, values), dtype=object)
    read = _READERS[column.holds]
    missing = column.missing
    found = [
        missing if value is None else read(column, value, row) for row, value in enumerate(values)
    ]
    dtype = object if column.is_string else np.float64 if column.holds == "numbers" else np.int64
    return np.array(found, dtype=dtype)


def _finite(column: RawColumn, values: Sequence[object]) -> NDArray[np.float64]:
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError as error:
        raise BadRequestError(f"column {column.name!r} has a number beyond the largest") from error
    if np.isinf(array).any():
        row = int(np.argmax(np.isinf(array)))
        raise BadRequestError(f"column {column.name!r} is infinite in row {row}, counting from 0")
    return array


def _texts(column: RawColumn, values: Sequence[object]) -> list[object]:
    """Texts, empty where they stand for missing; mere spaces do too."""
    words = set(column.words)
    return [MISSING_TEXT if str(value).strip() in words else value for value in values]


def _refusal(column: RawColumn, value: object, row: int) -> BadRequestError:
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    return BadRequestError(
        f"column {column.name!r} takes {_TAKES[column.holds]}, but in row {row}, counting from 0, it is {shown}"
    )


def _number(column: RawColumn, value: object, row: int) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refusal(column, value, row)
    return value


def _text(column: RawColumn, value: object, row: int) -> object:
    if not isinstance(value, str):
        raise _refusal(column, value, row)
    return _texts(column, [value])[0]


def _whole(column: RawColumn, value: object, row: int) -> int:
    """A whole number, also as 7.0 or "7", where nothing is lost."""
    if (isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_EXACT) or (
        isinstance(value, str) and _WHOLE.fullmatch(value)
    ):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _refusal(column, value, row)
    return value


def _integer(column: RawColumn, value: object, row: int) -> int:
    found = _whole(column, value, row)
    if not MISSING_INTEGER <= found < -MISSING_INTEGER:
        raise _refusal(column, value, row)
    return found


def _large(column: RawColumn, value: object, row: int) -> str:
    if isinstance(value, str) and value.strip() in column.words:
        return MISSING_TEXT
    return str(_whole(column, value, row))


def _boolean(column: RawColumn, value: object, row: int) -> int:
    words = {"true": 1, "false": 0}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    if not isinstance(value, bool | int) or value not in (0, 1):
        raise _refusal(column, value, row)
    return int(value)


def _time(column: RawColumn, value: object, row: int) -> int:
    """ISO 8601 text, or microseconds since 1970."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _integer(column, value, row)
    try:
        if not isinstance(value, str):
            raise ValueError
        when = datetime.fromisoformat(value)
    except ValueError as error:
        raise _refusal(column, value, row) from error
    if column.has_zone is not None and column.has_zone != (when.tzinfo is not None):
        need = "with their zone, such as Z" if column.has_zone else "without a zone"
        raise BadRequestError(
            f"column {column.name!r} takes times {need}, but in row {row}, counting from 0, it is {value!r}"
        )
    return int(((when if when.tzinfo else when.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND)


_READERS = {
    "numbers": _number,
    "texts": _text,
    "integers": _integer,
    "large integers": _large,
    "booleans": _boolean,
    "times": _time,
}
_TAKES = {
    "numbers": "numbers or null",
    "texts": "texts or null",
    "integers": "whole numbers below 2^63 or null",
    "large integers": "whole numbers, also as texts of digits, or null",
    "booleans": "true, false, 1, 0 or null",
    "times": "times such as 2024-02-29T18:30:00, microseconds since 1970, or null",
}


def _names(contract: Contract) -> set[str]:
    return {column.name for column in contract.columns}
