"""A column as its different values and a code per row, and values of one type read as another."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.errors import UserError

ValueKind = Literal["integer", "float", "text", "boolean"]
Value = bool | int | float | str
Entry = TypeVar("Entry", bound=np.generic)

_LARGEST_EXACT = 2**53
"""Up to here a float64 holds every integer; beyond, neighbouring ids are one number."""

_LARGEST_SIGNED = 2**63 - 1

_DICTIONARY = pa.lib.Type_DICTIONARY
_TEXTS = frozenset({pa.lib.Type_STRING, pa.lib.Type_LARGE_STRING, pa.lib.Type_STRING_VIEW})
"""Types by their numbers, since a prediction of one row asks hundreds of times."""


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """The different values of a column (int64, uint64, float64, large_string or bool, no nulls;
    perhaps some that no row has) and, per row, the position among them, -1 where missing."""

    values: pa.Array
    codes_B: NDArray[np.int32]

    @property
    def kind(self) -> ValueKind:
        return value_kind(self.values.type)

    def counts(self) -> NDArray[np.int64]:
        """Rows of each value."""
        present = self.codes_B[self.codes_B >= 0]
        return np.bincount(present, minlength=len(self.values)).astype(np.int64)

    def latest(self, days_B: NDArray[np.int64]) -> NDArray[np.int64]:
        """The highest of the rows' days by value; the lowest integer of a value without a row."""
        latest = np.full(len(self.values), np.iinfo(np.int64).min)
        is_there_B = self.codes_B >= 0
        np.maximum.at(latest, self.codes_B[is_there_B], days_B[is_there_B])
        return latest

    def tally(self, days_B: NDArray[np.int64] | None = None) -> pa.Table:
        """The `value`s that some row has, the `count` of their rows and, where these have days, their last `day`."""
        columns = {"value": self.values, "count": self.counts()}
        if days_B is not None:
            columns["day"] = self.latest(days_B)
        table = pa.table(columns)
        return table.filter(pc.greater(table["count"], 0))

    def occurring(self) -> pa.Array:
        """The values that some row has."""
        return self.values.filter(pa.array(self.counts() > 0))

    def spread(self, per_value: NDArray[Entry], *, missing: float) -> NDArray[Entry]:
        """One entry per row from one entry per value."""
        table = np.empty(len(per_value) + 1, dtype=per_value.dtype)
        table[:-1] = per_value
        table[-1] = missing
        return table[self.codes_B]


def coded(column: pa.ChunkedArray, what: str) -> Coded:
    """The column by codes; `what` names it in errors. Text is never copied row by row."""
    column = decoded(column)
    if pa.types.is_null(column.type):
        return Coded(pa.array([], pa.large_string()), np.full(len(column), -1, np.int32))
    if pa.types.is_dictionary(column.type):
        array = column.unify_dictionaries().combine_chunks()
        if array.dictionary.null_count or pc.count_distinct(array.dictionary).as_py() < len(
            array.dictionary
        ):
            array = array.dictionary_decode().dictionary_encode()
    else:
        array = _plain(column, what).dictionary_encode().combine_chunks()
    values = array.dictionary
    if is_text(values.type):
        values = values.cast(pa.large_string())
    return Coded(values, array.indices.cast(pa.int32()).fill_null(-1).to_numpy())


def listed(column: pa.ChunkedArray) -> list[object]:
    """`to_pylist`, of text in a tenth of its time."""
    if is_encoded(column.type):
        column = column.cast(column.type.value_type)
    if is_text(column.type):
        texts: list[object] = column.to_numpy().tolist()
        return texts
    values: list[object] = column.to_pylist()
    return values


def value_type(dtype: pa.DataType) -> pa.DataType:
    """The type itself; of a dictionary, its values'."""
    return dtype.value_type if is_encoded(dtype) else dtype


def type_name(dtype: pa.DataType) -> str:
    """Arrow's type as text, one text for a column whether it is dictionary-encoded or not."""
    return str(value_type(dtype))


def decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without a dictionary, but for text."""
    dtype = value_type(column.type)
    return column if dtype == column.type or is_text(dtype) else column.cast(dtype)


def is_number(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype))


def told(number: int | np.integer, noun: str) -> str:
    """A number with its noun: 1 row, 2 rows."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def is_encoded(dtype: pa.DataType) -> bool:
    """Whether values stand in a dictionary."""
    return bool(dtype.id == _DICTIONARY)


def is_text(dtype: pa.DataType) -> bool:
    return dtype.id in _TEXTS


def value_kind(dtype: pa.DataType) -> ValueKind:
    """The kind of a type that `coded` yields."""
    if is_number(dtype):
        return "integer" if pa.types.is_integer(dtype) else "float"
    return "boolean" if pa.types.is_boolean(dtype) else "text"


def commonest(column: Coded, number: int = 5) -> str:
    """The commonest values with their counts, for messages."""
    counts = column.counts()
    order = np.argsort(-counts, kind="stable")[:number]
    shown = [
        f"{column.values[int(i)].as_py()!r} ({told(counts[i], 'row')})" for i in order if counts[i]
    ]
    return ", ".join(shown) or "none: every row is missing"


def _plain(column: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    """The column in one of the few types that values have."""
    dtype = column.type
    if pa.types.is_boolean(dtype) or pa.types.is_uint64(dtype) or pa.types.is_null(dtype):
        return column
    if pa.types.is_integer(dtype):
        return column.cast(pa.int64())
    if pa.types.is_floating(dtype):
        return _plain_floats(column, what)
    if is_text(dtype):
        return column.cast(pa.large_string()) if pa.types.is_string_view(dtype) else column
    if pa.types.is_temporal(dtype) or pa.types.is_decimal(dtype):
        return column.cast(pa.large_string())
    raise UserError(f"{what} holds {dtype}, which cannot be told apart by value: ignore it")


def _plain_floats(column: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    limits = pc.min_max(column)
    low, high = limits["min"].as_py() or 0.0, limits["max"].as_py() or 0.0
    whole = pc.all(pc.equal(column, pc.floor(column))).as_py()
    if whole is not False and max(-low, high) <= _LARGEST_EXACT:
        return column.cast(pa.int64())
    if max(-low, high) > _LARGEST_EXACT:
        raise UserError(
            f"{what} holds floats up to {max(-low, high):g}; beyond 2^53 different ids become one "
            "number: read the column as integers or as text"
        )
    if pa.types.is_float32(column.type):
        # By its shortest text, so that 1.1 is the same value in float32 and in a CSV file.
        column = column.cast(pa.string())
    return pc.add(column.cast(pa.float64()), 0.0)


def converted(column: Coded, kind: ValueKind, what: str) -> pa.Array:
    """The column's values as another kind where nothing is lost, else UserError."""
    values = column.values
    if column.kind == kind:
        return values
    result = _converters[kind](values, column.kind)
    lost = pc.is_null(result).to_numpy(zero_copy_only=False)
    # A dictionary may hold values that no row has; they are nobody's mistake.
    lost_rows = column.spread(lost, missing=0)
    if lost_rows.any():
        raise UserError(
            f"{what} was {kind} in the training rows and is {column.kind} here; "
            f"{first_of(column, lost_rows)} cannot be read as {kind} without loss"
        )
    return result


def value_array(values: tuple[Value, ...]) -> pa.Array:
    """Values of one type as `coded` has them."""
    if not values or isinstance(values[0], str):
        return pa.array(values, pa.large_string())
    try:
        return pa.array(values)
    except OverflowError:  # Integers beyond int64.
        return pa.array(values, pa.uint64())


def positions(values: pa.Array, among: pa.Array) -> NDArray[np.int64]:
    """Where each value stands among others of its kind, -1 where it does not."""
    if values.type != among.type:
        # One is int64, the other uint64: what does not fit the other type occurs there nowhere.
        inside = (
            pc.less_equal(values, pa.scalar(_LARGEST_SIGNED, pa.uint64()))
            if values.type == pa.uint64()
            else pc.greater_equal(values, 0)
        )
        values = pc.if_else(inside, values, None).cast(among.type)
    found = pc.index_in(values, value_set=among).fill_null(-1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def first_of(column: Coded, chosen_B: NDArray[np.bool_]) -> str:
    """How many rows were chosen, and the first of them, for messages."""
    first = int(np.argmax(chosen_B))
    value = column.values[int(column.codes_B[first])].as_py()
    return f"{told(np.count_nonzero(chosen_B), 'row')} (first {value!r} in row {first}, counting from 0)"


def parsed_numbers(texts: pa.Array) -> pa.Array:
    """Text values as float64, null where a text is no number ("nan" and "inf" are)."""
    pattern = r"(?i)^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?$|^[-+]?inf$|^nan$"
    fitting = pc.if_else(pc.match_substring_regex(texts, pattern), texts, None)
    # Arrow's parser takes no plus sign in front.
    return pc.utf8_ltrim(fitting, "+").cast(pa.float64())


def _to_integer(values: pa.Array, kind: ValueKind) -> pa.Array:
    if kind == "boolean":
        return values.cast(pa.int64())
    if kind == "float":
        return pc.if_else(pc.equal(values, pc.floor(values)), values, None).cast(pa.int64())
    # What does not read back as the same text ("007", "+7") has lost something.
    pattern = r"^(0|-?[1-9][0-9]{0,19})$"
    fitting = pc.if_else(pc.match_substring_regex(values, pattern), values, None)
    for dtype in (pa.int64(), pa.uint64()):
        try:
            return fitting.cast(dtype)
        except pa.ArrowInvalid:
            continue
    return pa.nulls(len(values), pa.int64())


def _to_float(values: pa.Array, kind: ValueKind) -> pa.Array:
    if kind == "integer":
        exact = pc.less_equal(values, _LARGEST_EXACT)
        if values.type == pa.int64():
            exact = pc.and_(exact, pc.greater_equal(values, -_LARGEST_EXACT))
        return pc.if_else(exact, values, None).cast(pa.float64())
    if kind == "text":
        return parsed_numbers(values)
    return pa.nulls(len(values), pa.float64())


def _to_text(values: pa.Array, kind: ValueKind) -> pa.Array:
    if kind == "boolean":
        return pa.nulls(len(values), pa.large_string())
    return values.cast(pa.large_string())


def _to_boolean(values: pa.Array, kind: ValueKind) -> pa.Array:
    if kind == "text":
        names = pa.array(["false", "true"], pa.large_string())
        return pc.index_in(pc.utf8_lower(values), value_set=names).cast(pa.bool_())
    fitting = pc.is_in(values, value_set=pa.array([0, 1], values.type))
    return pc.if_else(fitting, values, None).cast(pa.bool_())


_converters = {
    "integer": _to_integer,
    "float": _to_float,
    "text": _to_text,
    "boolean": _to_boolean,
}
