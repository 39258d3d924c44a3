"""What the operators and functions of a formula calculate in a graph, of values (B,) float64, NaN where missing."""

from collections.abc import Callable, Mapping
from functools import reduce

from polytask.serving.graph.calendar import DAY, date_of
from polytask.serving.graph.values import Value

_NAN = float("nan")


def as_number(truth: Value) -> Value:
    return truth.cast("float64")


def _defined(value: Value, is_undefined: Value) -> Value:
    return value.where(~is_undefined, _NAN)


def _either_missing(a: Value, b: Value) -> Value:
    return a.isnan() | b.isnan()


def _divided(a: Value, b: Value) -> Value:
    is_zero = b.equals(0.0)
    return _defined(a / b.where(~is_zero, 1.0), is_zero)


def _remainder(a: Value, b: Value) -> Value:
    """numpy's: the sign is that of b."""
    is_zero = b.equals(0.0)
    divisor = b.where(~is_zero, 1.0)
    rest = a.fmod(divisor)
    is_other = ~rest.equals(0.0) & (
        (rest < 0.0) & ~(divisor < 0.0) | ~(rest < 0.0) & (divisor < 0.0)
    )
    return _defined((rest + divisor).where(is_other, rest), is_zero)


def _floor_divided(a: Value, b: Value) -> Value:
    """numpy's: what the remainder leaves, divided, and rounded to a whole number."""
    is_zero = b.equals(0.0)
    divisor = b.where(~is_zero, 1.0)
    return _defined(((a - _remainder(a, divisor)) / divisor + 0.5).of("Floor"), is_zero)


def _power(a: Value, b: Value) -> Value:
    return _defined(a**b, (a.equals(0.0) & (b < 0.0)) | _either_missing(a, b))


def _logarithm(a: Value) -> Value:
    is_undefined = a <= 0.0
    return _defined(a.where(~is_undefined, 1.0).of("Log"), is_undefined)


def _log1p(a: Value) -> Value:
    """Exact near 0, where the logarithm of a rounded sum is not."""
    is_undefined = a <= -1.0
    safe = a.where(~is_undefined, 0.0)
    total = safe + 1.0
    is_one = total.equals(1.0)
    found = total.of("Log") * safe / (total - 1.0).where(~is_one, 1.0)
    return _defined(safe.where(is_one, found), is_undefined)


def _root(a: Value) -> Value:
    is_undefined = a < 0.0
    return _defined(a.where(~is_undefined, 0.0).of("Sqrt"), is_undefined)


def _larger(a: Value, b: Value) -> Value:
    return _defined(a.where(a > b, b), _either_missing(a, b))


def _smaller(a: Value, b: Value) -> Value:
    return _defined(a.where(a < b, b), _either_missing(a, b))


def _compared(compare: Callable[[Value, Value], Value]) -> Callable[[Value, Value], Value]:
    return lambda a, b: _defined(as_number(compare(a, b)), _either_missing(a, b))


def _not(a: Value) -> Value:
    return _defined(as_number(a.equals(0.0)), a.isnan())


def _all_of(*values: Value) -> Value:
    """SQL's and: false and null is false."""
    is_false = reduce(Value.__or__, [value.equals(0.0) for value in values])
    is_missing = reduce(Value.__or__, [value.isnan() for value in values])
    return _defined(as_number(~is_false), is_missing & ~is_false)


def _any_of(*values: Value) -> Value:
    return _not(_all_of(*(_not(value) for value in values)))


def _is_in(value: Value, *members: Value) -> Value:
    found = reduce(Value.__or__, [value.equals(member) for member in members])
    return _defined(as_number(found), value.isnan())


def _age(when: Value, born: Value) -> Value:
    (year, month, day), (first_year, first_month, first_day) = date_of(when), date_of(born)
    is_before = (month * 100 + day) < (first_month * 100 + first_day)
    return year - first_year - is_before.cast("int64")


FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mult": lambda a, b: a * b,
    "Div": _divided,
    "FloorDiv": _floor_divided,
    "Mod": _remainder,
    "Pow": _power,
    "USub": lambda a: -a,
    "UAdd": lambda a: a,
    "Not": _not,
    "And": _all_of,
    "Or": _any_of,
    "Eq": _compared(Value.equals),
    "NotEq": _compared(lambda a, b: ~a.equals(b)),
    "Lt": _compared(lambda a, b: a < b),
    "LtE": _compared(lambda a, b: a <= b),
    "Gt": _compared(lambda a, b: a > b),
    "GtE": _compared(lambda a, b: a >= b),
    "In": _is_in,
    "NotIn": lambda value, *members: _not(_is_in(value, *members)),
    "abs": lambda a: a.of("Abs"),
    "exp": lambda a: a.of("Exp"),
    "log": _logarithm,
    "log1p": _log1p,
    "sqrt": _root,
    "max": lambda *values: reduce(_larger, values),
    "min": lambda *values: reduce(_smaller, values),
}
"""By Python's name of the operator, or the name of the function."""

OF_A_TIME: Mapping[str, Callable[[Value], Value]] = {
    "year": lambda ticks: date_of(ticks)[0],
    "month": lambda ticks: date_of(ticks)[1],
    "day": lambda ticks: date_of(ticks)[2],
    "weekday": lambda ticks: (ticks // DAY + 3) % 7,
    "hour": lambda ticks: ticks % DAY // 3_600_000_000,
    "minute": lambda ticks: ticks % 3_600_000_000 // 60_000_000,
}
OF_TWO_TIMES: Mapping[str, Callable[[Value, Value], Value]] = {
    "days_since": lambda when, earlier: (when - earlier).cast("float64") / float(DAY),
    "age": _age,
}
