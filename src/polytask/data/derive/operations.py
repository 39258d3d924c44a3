"""What the operators and functions of a formula compute.

Values are columns or scalars of int64, float64, bool, large_string or a type of time. Missing in,
missing out; what is undefined (x / 0, log of 0, sqrt of -1) is missing as well. A ValueError says
which types do not go together; the caller adds the place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.columns.values import is_text, value_type
from polytask.data.normalise import normalised
from polytask.errors import UserError, nearest

Value: TypeAlias = pa.ChunkedArray | pa.Scalar
Function: TypeAlias = Callable[..., Value]
Refusal = Callable[[str], UserError]
"""Words -> an error that points at a part of the formula."""


def canonical(column: pa.Table) -> Value:
    """The one column of a table in a type that formulas know."""
    value = normalised(column)[0]
    kind = value_type(value.type)
    if pa.types.is_integer(kind):
        return value.cast(pa.int64())
    if pa.types.is_floating(kind) or pa.types.is_null(kind):
        return value.cast(pa.float64())
    if is_text(kind):
        return value.cast(pa.large_string())
    if pa.types.is_boolean(kind) or pa.types.is_temporal(kind):
        return value
    raise ValueError(f"a column of type {value.type} cannot stand in a formula")


def arithmetic(symbol: str, compute: Function) -> Function:
    """Numbers by a function of Arrow's, whole ones as whole numbers."""
    return lambda *values: _defined(compute(*_numbers(symbol, *values)))


def of_floats(symbol: str, compute: Function) -> Function:
    """The same of numbers that are made floats."""
    return lambda *values: _defined(compute(*_floats(symbol, *values)))


def divide(a: Value, b: Value) -> Value:
    """Always a float; missing where b is 0."""
    a, b = _floats("/", a, b)
    return _defined(pc.divide(a, _null_where(pc.equal(b, 0.0), b)))


def floor_divide(a: Value, b: Value) -> Value:
    """Rounds towards minus infinity, as Python does; missing where b is 0."""
    return _by_numpy(np.floor_divide, *_numbers("//", a, b))


def remainder(a: Value, b: Value) -> Value:
    """Has the sign of b, as in Python; missing where b is 0."""
    return _by_numpy(np.remainder, *_numbers("%", a, b))


def power(a: Value, b: Value) -> Value:
    """Always a float; missing where the result is no real number."""
    a, b = _floats("**", a, b)
    undefined = pc.and_(pc.equal(a, 0.0), pc.less(b, 0.0))
    return _defined(_null_where(undefined, pc.power(a, b)))


def logarithm(a: Value) -> Value:
    (a,) = _floats("log", a)
    return pc.ln(_null_where(pc.less_equal(a, 0.0), a))


def log1p(a: Value) -> Value:
    (a,) = _floats("log1p", a)
    return pc.log1p(_null_where(pc.less_equal(a, -1.0), a))


def comparison(symbol: str, compare: Function) -> Function:
    """The comparison `symbol` of numbers, of texts, or of times; a text is read as a time."""
    return lambda a, b: compare(*_comparable(symbol, a, b))


def all_of(*values: Value) -> Value:
    """SQL's `and`: false and null is false, true and null is null."""
    return reduce(pc.and_kleene, [_truth("and", value) for value in values])


def any_of(*values: Value) -> Value:
    """SQL's `or`: true or null is true, false or null is null."""
    return reduce(pc.or_kleene, [_truth("or", value) for value in values])


def negation(a: Value) -> Value:
    return pc.invert(_truth("not", a))


def membership(a: Value, *members: Value) -> Value:
    """Whether the value is one of the members; missing where it is missing."""
    pairs = [_comparable("in", a, member) for member in members]
    kind = next((pair[0].type for pair in pairs if _is_float(pair[0])), pairs[0][0].type)
    value_set = pa.array([pair[1].as_py() for pair in pairs]).cast(kind)
    value = pairs[0][0].cast(kind)
    return _null_where(pc.is_null(value), pc.is_in(value, value_set=value_set))


def no_membership(a: Value, *members: Value) -> Value:
    return pc.invert(membership(a, *members))


def _is_number(value: Value) -> bool:
    return bool(pa.types.is_int64(value.type) or _is_float(value))


def _is_float(value: Value) -> bool:
    return bool(pa.types.is_floating(value.type))


def _numbers(symbol: str, *values: Value) -> list[Value]:
    """All as int64, or all as float64 if one is; true counts as 1, as in Python."""
    whole = [value.cast(pa.int64()) if _is_bool(value) else value for value in values]
    for value in whole:
        if not _is_number(value):
            raise ValueError(f"{symbol} takes numbers, but here is {_told(value)}")
    if any(_is_float(value) for value in whole):
        return [value.cast(pa.float64(), safe=False) for value in whole]
    return whole


def _floats(symbol: str, *values: Value) -> list[Value]:
    return [value.cast(pa.float64(), safe=False) for value in _numbers(symbol, *values)]


def _comparable(symbol: str, a: Value, b: Value) -> list[Value]:
    if _is_text(a) and _is_text(b):
        return [a, b]
    if pa.types.is_temporal(a.type) or pa.types.is_temporal(b.type):
        return _times(symbol, a, b)
    if _is_text(a) or _is_text(b):
        raise ValueError(f"{symbol} cannot compare {_told(a)} with {_told(b)}")
    return _numbers(symbol, a, b)


def _times(symbol: str, a: Value, b: Value) -> list[Value]:
    kind = a.type if pa.types.is_temporal(a.type) else b.type
    try:
        return [a.cast(kind), b.cast(kind)]
    except pa.ArrowException:
        raise ValueError(f"{symbol} cannot compare {_told(a)} with {_told(b)}") from None


def _truth(symbol: str, value: Value) -> Value:
    """A number is true unless it is 0, so that 0/1 columns can be combined."""
    if _is_bool(value):
        return value
    if _is_number(value):
        return pc.not_equal(value, pa.scalar(0, value.type))
    raise ValueError(f"{symbol} takes conditions or 0/1 numbers, but here is {_told(value)}")


def _is_bool(value: Value) -> bool:
    return bool(pa.types.is_boolean(value.type))


def _is_text(value: Value) -> bool:
    return bool(pa.types.is_large_string(value.type))


def _told(value: Value) -> str:
    if isinstance(value, pa.Scalar):
        return repr(value.as_py())
    return "a column of text" if _is_text(value) else f"a column of {value.type}"


def _null_where(condition: Value, value: Value) -> Value:
    """Missing where the condition holds; the value elsewhere, also where the condition is null."""
    holds = pc.fill_null(condition, fill_value=False)
    return pc.if_else(holds, pa.scalar(None, value.type), value)


def _defined(value: Value) -> Value:
    return _null_where(pc.is_nan(value), value) if _is_float(value) else value


def _by_numpy(
    function: Callable[[NDArray[np.generic], NDArray[np.generic]], NDArray[np.generic]],
    a: Value,
    b: Value,
) -> Value:
    """numpy rounds as Python does, where Arrow truncates; b = 0 and missing values give missing."""
    missing = pc.or_(pc.is_null(a), pc.is_null(_null_where(pc.equal(b, 0), b)))
    one = pa.scalar(1, a.type)
    safe_b = pc.if_else(missing, one, b)
    try:
        with np.errstate(over="raise", invalid="ignore"):
            numbers = function(_as_numpy(pc.fill_null(a, one)), _as_numpy(safe_b))
    except FloatingPointError:
        raise pa.ArrowInvalid("overflow") from None
    if isinstance(missing, pa.Scalar):
        return pa.scalar(None if missing.as_py() else numbers.item(), a.type)
    return _null_where(missing, _defined(pa.chunked_array([pa.array(numbers)])))


def _as_numpy(value: Value) -> NDArray[np.generic]:
    if isinstance(value, pa.Scalar):
        return np.asarray(value.as_py())
    array: NDArray[np.generic] = value.to_numpy()
    return array


@dataclass(frozen=True, slots=True)
class Node:
    """The columns that a part of a formula reads, each once, and its value in every row.

    `symbol` is Python's name of an operator (Add, Eq), the name of a function, "column" or "literal";
    with `operands` it is the tree, for who calculates elsewhere.
    """

    columns: tuple[str, ...]
    evaluate: Callable[[pa.Table], Value]
    symbol: str
    operands: tuple["Node", ...] = ()
    literal: bool | int | float | str | None = None


def pointing(formula: str, start: int, end: int, words: str) -> UserError:
    """The error with the formula below it and characters `start` to `end`, exclusive, underlined."""
    carets = "^" * max(end - start, 1)
    return UserError(f"{words}\n    {formula}\n    {' ' * start}{carets}")


def literal(value: bool | int | float | str) -> Node:
    scalar = pa.scalar(value, pa.large_string() if isinstance(value, str) else None)
    return Node((), lambda table: scalar, "literal", literal=value)


def column(name: str, refusal: Refusal) -> Node:
    def evaluate(table: pa.Table) -> Value:
        if name not in table.column_names:
            raise refusal(f"the table lacks {name!r}{nearest(name, table.column_names)}")
        try:
            return canonical(table.select([name]))
        except (ValueError, pa.ArrowException) as error:
            raise refusal(f"{name!r}: {error}") from None

    return Node((name,), evaluate, "column")


def operation(symbol: str, function: Function, operands: Sequence[Node], refusal: Refusal) -> Node:
    """A function of the operands' values."""

    def evaluate(table: pa.Table) -> Value:
        values = [operand.evaluate(table) for operand in operands]
        try:
            return function(*values)
        except (ValueError, pa.ArrowException) as error:
            words = str(error)
            if words.startswith("overflow"):
                words = "a whole number beyond 64 bits; with `1.0 *` it becomes a float"
            raise refusal(words) from None

    columns = dict.fromkeys(name for operand in operands for name in operand.columns)
    return Node(tuple(columns), evaluate, symbol, tuple(operands))
