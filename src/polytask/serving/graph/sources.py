"""The raw columns of a graph in the forms in which they are read: numbers, whole numbers, ids of values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from polytask.errors import UserError
from polytask.serving.contract import MISSING_INTEGER, Holds, RawColumn
from polytask.serving.graph.values import OWN, Attribute, Nodes, Value

_TOGETHER: Mapping[frozenset[str], Holds] = {
    frozenset({"numbers", "integers"}): "integers",
    frozenset({"numbers", "booleans"}): "booleans",
    frozenset({"integers", "booleans"}): "booleans",
    frozenset({"integers", "booleans", "numbers"}): "booleans",
}
"""Needs that one raw column can meet."""
_STRINGS = ("texts", "large integers")

Words: TypeAlias = Callable[[str], Sequence[str]]
MissingNumbers: TypeAlias = Callable[[str], Sequence[float]]
Formula: TypeAlias = Callable[["Sources"], Value]


@dataclass(frozen=True, slots=True)
class ValueIds:
    """The ids of a column's values; others have id 1. Of texts those of missing ones (0) are among them."""

    column: str
    holds: Holds
    keys: Sequence[str] | Sequence[int]
    ids: Sequence[int]


@dataclass(slots=True)
class Sources:
    """What is read of raw columns, each once. What a column holds follows from all that is read of it.

    `words` and `missing_numbers` are the texts and numbers of a column that stand for missing, `formulas` the
    derived columns, which are numbers (B,) float64, NaN where missing.
    """

    nodes: Nodes
    words: Words
    missing_numbers: MissingNumbers
    formulas: Mapping[str, Formula] = field(default_factory=dict)
    needs: dict[str, set[Holds]] = field(default_factory=dict)
    zones: dict[str, bool | None] = field(default_factory=dict)
    lookups: list[tuple[str, Value]] = field(default_factory=list)
    _read: dict[tuple[str, str], Value] = field(default_factory=dict)

    def number(self, name: str) -> Value:
        """A column as float64, NaN where missing."""
        if name in self.formulas:
            if ("derived", name) not in self._read:
                self._read["derived", name] = self.formulas[name](self)
            return self._read["derived", name]
        return self._raw(name, "numbers", "number")

    def whole(self, name: str, holds: Literal["integers", "booleans"]) -> Value:
        """A column as int64, MISSING_INTEGER where missing."""
        if name in self.formulas:
            number = self.number(name)
            known = number.where(~number.isnan(), 0.0).cast("int64")
            return known.where(~number.isnan(), MISSING_INTEGER)
        return self._raw(name, holds, "whole")

    def time(self, name: str, holds: Literal["integers", "times"], has_zone: bool | None) -> Value:
        """A column of times, or of whole numbers that stand for times, MISSING_INTEGER where missing."""
        if name in self.formulas:
            raise UserError(f"derived column {name!r} is read as a time, which no graph calculates")
        self.zones[name] = has_zone
        return self._raw(name, holds, "whole")

    def ids(self, lookup: ValueIds) -> Value:
        """The ids of a column's values."""
        if lookup.holds in _STRINGS:
            if lookup.column in self.formulas:
                raise UserError(
                    f"derived column {lookup.column!r} holds texts, which no graph calculates"
                )
            source = self._raw(lookup.column, lookup.holds, "text")
            return self._encoded(source, "keys_strings", lookup.keys, lookup.ids)
        holds: Literal["integers", "booleans"] = (
            "booleans" if lookup.holds == "booleans" else "integers"
        )
        source = self.whole(lookup.column, holds)
        keys, ids = [MISSING_INTEGER, *lookup.keys], [0, *lookup.ids]
        return self._encoded(source, "keys_int64s", keys, ids)

    def single_ids(self, name: str, keys: Sequence[float], ids: Sequence[int]) -> Value:
        """The ids of a column's numbers as float32 has them."""
        number = self.number(name)
        # A zero is added, for -0 is no key.
        single = number.cast("float32") + 0.0
        found = self._encoded(single, "keys_floats", keys, ids) if keys else number.full(1, "int64")
        return found.where(~number.isnan(), 0)

    def counted(self, name: str, ids: Value) -> Value:
        """Ids of a column whose missing and unseen values a server counts."""
        if name not in self.formulas and name not in dict(self.lookups):
            self.lookups.append((name, ids))
        return ids

    def columns(self) -> tuple[RawColumn, ...]:
        """The raw columns, in the order in which they were asked for; UserError for what no column can be."""
        found = []
        for name, needs in self.needs.items():
            holds = next(iter(needs)) if len(needs) == 1 else _TOGETHER.get(frozenset(needs))
            if holds is None:
                raise UserError(
                    f"column {name!r} is read as {' and as '.join(sorted(needs))}, and a graph has one of "
                    "these: leave one of its uses out, or compute it before as a column of its own"
                )
            words = tuple(sorted(self.words(name))) if holds in _STRINGS else ()
            column = RawColumn(name, holds, words, self.zones.get(name))
            found.append(column)
        return tuple(found)

    def read_from(self, columns: Sequence[RawColumn]) -> Nodes:
        """The nodes that make of raw columns what was asked for."""
        nodes = Nodes([], self.nodes.constants)
        first = self.nodes.nodes
        # Their names go on where those of the others end.
        nodes.offset = len(first) + self.nodes.offset
        for column in columns:
            if column.is_string:
                continue
            number, whole = (self._read.get((column.name, form)) for form in ("number", "whole"))
            if column.holds == "numbers":
                assert number is not None and whole is None
                self._renamed(nodes, self._present(nodes, column, "float64", float("nan")), number)
                continue
            present = self._present(nodes, column, "int64", MISSING_INTEGER)
            if whole is not None:
                self._renamed(nodes, present, whole)
            if number is not None:
                cast = present.cast("float64")
                known = cast.where(~present.equals(MISSING_INTEGER), float("nan"))
                self._renamed(nodes, known, number)
        return nodes

    def _present(self, nodes: Nodes, column: RawColumn, dtype: str, mark: float) -> Value:
        """The column with the mark in the place of numbers that were named as missing."""
        value = Value(nodes, column.name, dtype)  # type: ignore[arg-type]
        for number in self.missing_numbers(column.name):
            if dtype == "float64" or number == int(number):
                value = value.where(~value.equals(number), mark)
        return value

    @staticmethod
    def _renamed(nodes: Nodes, value: Value, wanted: Value) -> None:
        nodes.add("Identity", value.name, name=wanted.name)

    def _raw(self, name: str, holds: Holds, form: str) -> Value:
        self.needs.setdefault(name, set()).add(holds)
        if (name, form) not in self._read:
            dtype = {"number": "float64", "whole": "int64", "text": "string"}[form]
            own = name if form == "text" else f"{OWN}{form} of {name}"
            self._read[name, form] = Value(self.nodes, own, dtype)  # type: ignore[arg-type]
        return self._read[name, form]

    def _encoded(self, source: Value, kind: str, keys: Attribute, ids: Sequence[int]) -> Value:
        name = self.nodes.add(
            "LabelEncoder",
            source.name,
            domain="ai.onnx.ml",
            how={"default_int64": 1, "values_int64s": list(ids), kind: keys},
        )
        return Value(self.nodes, name, "int64")
