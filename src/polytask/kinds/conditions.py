"""What counts as yes: VALUE, A|B|C, >=N, >N, <=N, <N, compared in the column's type."""

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.columns.numbers import numbers
from polytask.columns.values import (
    Coded,
    Value,
    coded,
    commonest,
    converted,
    positions,
    value_array,
    value_kind,
)
from polytask.errors import UserError, nearest

Operator = Literal["in", ">=", ">", "<=", "<"]

_comparisons: dict[str, Callable[[NDArray[np.generic], float], NDArray[np.bool_]]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}
_truths = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Condition:
    """A set of values of one type, or a bound and its comparison."""

    operator: Operator
    values: tuple[bool, ...] | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]

    def __post_init__(self) -> None:
        is_bound = self.operator != "in"
        if not self.values or (
            is_bound and (len(self.values) > 1 or isinstance(self.values[0], str))
        ):
            raise ValueError(f"{self.operator} compares with no {self.values}")

    def evaluate(self, column: pa.ChunkedArray, what: str) -> NDArray[np.float64]:
        """1 where a row fulfils the condition, 0 where not, NaN where its value is missing."""
        if self.operator == "in":
            return _is_among(coded(column, what), self.values, what)
        if pa.types.is_integer(column.type):
            # Bounds on 64-bit integers are compared as integers.
            column_coded = coded(column, what)
            held = _comparisons[self.operator](column_coded.values.to_numpy(), self._bound)
            return column_coded.spread(held.astype(np.float64), missing=np.nan)
        values = numbers(column, what)
        held = _comparisons[self.operator](values, self._bound)
        return np.where(np.isnan(values), np.nan, held)

    @property
    def _bound(self) -> float:
        bound = self.values[0]
        assert not isinstance(bound, str)
        return bound


def parse_condition(text: str, column: pa.ChunkedArray, what: str) -> Condition:
    """The YES text read in the column's type.

    On a text column the whole text is a value if it occurs, so that ">50K" and "a|b" can be
    values; else it is split at "|". A value that never occurs, and a bound that no row or every
    row fulfils, are UserErrors that show the commonest values.
    """
    values = coded(column, what)
    condition = _read(text, values, what)
    if condition.operator == "in":
        _require_occurrence(condition, values, what)
    labels = condition.evaluate(column, what)
    if not (labels == 1).any():
        raise UserError(
            f"{what}: no row fulfils {text!r}; the commonest values are {commonest(values)}"
        )
    return condition


def _read(text: str, column: Coded, what: str) -> Condition:
    if column.kind == "text":
        if positions(value_array((text,)), column.values)[0] >= 0:
            return Condition("in", (text,))
        return Condition("in", tuple(part for part in text.split("|") if part))
    if column.kind == "boolean":
        return Condition("in", tuple(_truth(part, what) for part in text.split("|")))
    match = re.fullmatch(r"(>=|<=|>|<)(.*)", text.strip(), flags=re.DOTALL)
    if match is None:
        return Condition("in", _one_type([_number(part, column, what) for part in text.split("|")]))
    bound = _one_type([_number(match[2], column, what)])
    return Condition(cast(Operator, match[1]), bound)


def _number(text: str, column: Coded, what: str) -> int | float:
    for parse in (int, float):
        try:
            number = parse(text.strip())
        except ValueError:
            continue
        if np.isfinite(float(number)):
            return int(number) if float(number).is_integer() and parse is float else number
    raise UserError(
        f"{what} holds numbers, and {text.strip()!r} is none; "
        f"the commonest values are {commonest(column)}"
    )


def _one_type(found: list[int | float]) -> tuple[int, ...] | tuple[float, ...]:
    integers = [number for number in found if isinstance(number, int)]
    if len(integers) == len(found):
        return tuple(integers)
    return tuple(float(number) for number in found)


def _truth(text: str, what: str) -> bool:
    truth = _truths.get(text.strip().lower())
    if truth is None:
        raise UserError(f"{what} holds true and false; {text!r} is neither")
    return truth


def _require_occurrence(condition: Condition, column: Coded, what: str) -> None:
    occurring = column.occurring().to_pylist()
    for value in condition.values:
        if value not in occurring:
            raise UserError(
                f"{what}: the value {value!r} never occurs{_hint(value, occurring)}; "
                f"the commonest values are {commonest(column)}"
            )


def _hint(value: Value, occurring: Iterable[Value]) -> str:
    if not isinstance(value, str):
        return ""
    if re.match(r"[<>]", value):
        return " (bounds need a column of numbers, and this one holds text)"
    near = nearest(value, map(str, occurring))
    return near if "did you mean" in near else ""


def _is_among(column: Coded, wanted: tuple[Value, ...], what: str) -> NDArray[np.float64]:
    value_set = value_array(wanted)
    values = converted(column, value_kind(value_set.type), what)
    yes = (positions(values, value_set) >= 0).astype(np.float64)
    return column.spread(yes, missing=np.nan)
