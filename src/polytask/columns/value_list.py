"""Many different values of one type, as an Arrow array: a hundredth of the objects that a tuple has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from polytask.columns.lookup import Lookup
from polytask.columns.packed import PackedArray
from polytask.columns.values import Value, ValueKind, value_array, value_kind
from polytask.errors import UserError

_FEW = 1 << 12
"""So many are written one by one in a record, and found by a set of Python's."""
_SHOWN = 20


class ValueList(Sequence[Value]):
    """Booleans, integers, floats or texts, each once.

    >>> cities = ValueList.of(["Bonn", "Kiel"])
    >>> cities[1], "Ulm" in cities, cities.kind, cities
    ('Kiel', False, 'text', ('Bonn', 'Kiel'))
    """

    def __init__(self, array: pa.Array) -> None:
        """`array` has one of the types of `coded`. UserError for a value that stands twice."""
        self.array = array
        if array.null_count or pc.count_distinct(array).as_py() < len(array):
            raise UserError("a value stands twice in a vocabulary, or is missing")

    @classmethod
    def of(cls, values: Iterable[Value]) -> "ValueList":
        """Values of one type. UserError where they are of several."""
        found = tuple(values)
        if len({type(value) for value in found}) > 1:
            raise UserError("the values of a vocabulary are of several types")
        if found and not isinstance(found[0], bool | int | float | str):
            raise UserError(f"{found[0]!r} is no value of a vocabulary")
        try:
            return cls(value_array(found))
        except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
            raise UserError(f"these are no values of a vocabulary: {error}") from error

    @cached_property
    def kind(self) -> ValueKind:
        return value_kind(self.array.type)

    @cached_property
    def lookup(self) -> Lookup:
        """What finds the places of its values."""
        return Lookup(self.array)

    def followed_by(self, later: "ValueList") -> "ValueList":
        """The own values, then those of another list that are new. Both are of one kind."""
        mine, theirs = self.array, later.array
        if mine.type != theirs.type:
            # Integers beyond int64 are uint64, which holds no negative one.
            try:
                mine, theirs = mine.cast(pa.uint64()), theirs.cast(pa.uint64())
            except pa.ArrowInvalid as error:
                raise UserError(
                    "a column has negative integers and such beyond 2^63: read it as text"
                ) from error
        new = theirs.filter(pa.array(Lookup(mine).places(theirs) < 0))
        return ValueList(pa.concat_arrays([mine, new]))

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, place: int) -> Value: ...
    @overload
    def __getitem__(self, place: slice) -> "ValueList": ...
    def __getitem__(self, place: int | slice) -> "Value | ValueList":
        if isinstance(place, slice):
            return ValueList(self.array[place])
        value: Value = self.array[place].as_py()
        return value

    def __iter__(self) -> Iterator[Value]:
        return iter(self.array.to_pylist())

    def __contains__(self, value: object) -> bool:
        if len(self) <= _FEW:
            return value in self._set
        try:
            asked = pa.array([value], self.array.type)
        except (pa.ArrowException, OverflowError, TypeError):
            return False
        return bool(self.lookup.places(asked)[0] >= 0)

    @cached_property
    def _set(self) -> frozenset[Value]:
        return frozenset(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ValueList):
            return not (len(self) or len(other)) or bool(self.array.equals(other.array))
        return isinstance(other, tuple) and tuple(self) == other

    def __hash__(self) -> int:
        return hash((len(self), *self.array[:_SHOWN].to_pylist()))

    def __repr__(self) -> str:
        shown = tuple(self.array[:_SHOWN].to_pylist())
        return repr(shown) if len(self) <= _SHOWN else f"{str(shown)[:-1]}, ... {len(self):,})"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _read, serialization=core_schema.plain_serializer_function_ser_schema(_written)
        )


_packed: TypeAdapter[PackedArray] = TypeAdapter(PackedArray)


def _written(values: ValueList) -> object:
    """A few as a list; many as packed numbers, of texts their lengths in bytes and the bytes."""
    array = values.array
    if len(array) <= _FEW or values.kind == "boolean":
        return array.to_pylist()
    if values.kind != "text":
        return {"numbers": _plain(array.to_numpy())}
    ends: NDArray[np.int64] = np.frombuffer(array.buffers()[1], np.int64)
    ends = ends[array.offset : array.offset + len(array) + 1]
    content = np.frombuffer(array.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]]
    return {"lengths": _plain(np.diff(ends)), "text": _plain(content)}


def _read(record: object) -> ValueList:
    if isinstance(record, ValueList):
        return record
    if isinstance(record, list | tuple):
        return ValueList.of(record)
    if not isinstance(record, Mapping):
        raise ValueError("a list of values is due")
    return ValueList(_unpacked(record))


def _unpacked(record: Mapping[Any, Any]) -> pa.Array:
    parts = {name: _packed.validate_python(part).array() for name, part in record.items()}
    if any(part.ndim != 1 for part in parts.values()):
        raise UserError("packed values are a list of numbers")
    if set(parts) == {"numbers"}:
        return pa.array(parts["numbers"])
    if set(parts) != {"lengths", "text"} or (parts["lengths"] < 0).any():
        raise UserError("packed values are numbers, or lengths and text")
    ends = np.concatenate([[0], np.cumsum(parts["lengths"])]).astype(np.int64)
    if ends[-1] != len(parts["text"]):
        raise UserError("the lengths of packed texts are not those of the text")
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(parts["text"].astype(np.uint8))]
    array = pa.Array.from_buffers(pa.large_string(), len(ends) - 1, buffers)
    try:
        array.validate(full=True)
    except pa.ArrowException as error:
        raise UserError(f"packed texts are damaged: {error}") from error
    return array


def _plain(numbers: NDArray[Any]) -> object:
    return _packed.dump_python(PackedArray.of(numbers), mode="json")
