"""Derived columns in a graph: a formula of `data.derive` in float64, NaN where missing.

DIFF to `polytask predict`: whole numbers beyond 2^53 are rounded, and one beyond 64 bits is no error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polytask.data.derive import Derivation
from polytask.data.derive.grammar import read_formula
from polytask.data.derive.operations import Node
from polytask.errors import UserError
from polytask.serving.contract import MISSING_TEXT, Holds
from polytask.serving.graph.calendar import in_microseconds, known_times, on_the_clock_of
from polytask.serving.graph.operators import FUNCTIONS, OF_A_TIME, OF_TWO_TIMES, as_number
from polytask.serving.graph.sources import Formula, Sources, ValueIds
from polytask.serving.graph.values import Value

_UNITS = ("s", "ms", "us", "ns")
_YES = 2


def formulas_of(derivations: Sequence[Derivation], held: Mapping[str, Holds]) -> dict[str, Formula]:
    """How each derived column is calculated, by its name; `held` is what raw columns are known to hold."""
    derived = {each.name for each in derivations}
    known = {name: holds for name, holds in held.items() if name not in derived}
    return {
        each.name: _Column(each.name, read_formula(each.expression), known, frozenset(derived))
        for each in derivations
    }


@dataclass(frozen=True, slots=True)
class _Column:
    """One derived column; UserError, when it is called, for what no graph calculates."""

    name: str
    node: Node
    held: Mapping[str, Holds]
    derived: frozenset[str]

    def __call__(self, sources: Sources) -> Value:
        try:
            found = self._number(self.node, sources)
        except UserError as error:
            raise UserError(
                f"derived column {self.name!r} cannot be calculated in a graph: {error.message}; "
                "--derived-as-inputs leaves it to whoever asks, as a column of its own"
            ) from error
        assert isinstance(found, Value)
        return found

    def _number(self, node: Node, sources: Sources) -> Value | float:
        if node.symbol == "literal":
            if isinstance(node.literal, str):
                raise UserError(f"the text {node.literal!r} stands neither beside == nor after in")
            return float(node.literal or 0)
        if node.symbol == "column":
            return self._column(node.columns[0], sources)
        if node.symbol in OF_A_TIME or node.symbol in OF_TWO_TIMES:
            return self._of_times(node, sources)
        if node.symbol in ("Is", "IsNot"):
            return self._null(node, sources)
        if node.symbol in ("Eq", "NotEq", "In", "NotIn") and self._has_texts(node):
            return self._of_texts(node, sources)
        if node.symbol not in FUNCTIONS:
            raise UserError(f"{node.symbol} gives no number")
        operands = [self._number(each, sources) for each in node.operands]
        example = next((each for each in operands if isinstance(each, Value)), None)
        if example is None:
            raise UserError("a part of it reads no column: write the number that it is")
        values = [
            each if isinstance(each, Value) else example.full(each, "float64") for each in operands
        ]
        return FUNCTIONS[node.symbol](*values)

    def _column(self, name: str, sources: Sources) -> Value:
        holds = self.held.get(name, "numbers")
        if holds in ("texts", "large integers", "times"):
            raise UserError(f"column {name!r} holds {holds}, where numbers are due")
        return sources.number(name)

    def _null(self, node: Node, sources: Sources) -> Value:
        (operand,) = node.operands
        if operand.symbol == "column" and operand.columns[0] not in self.derived:
            name = operand.columns[0]
            if name not in self.held:
                raise UserError(f"nothing says what column {name!r} holds, only asked for null")
            if self.held[name] == "texts":
                missing = self._text_ids(name, [], sources).equals(0)
                return as_number(missing if node.symbol == "Is" else ~missing)
        value = self._number(operand, sources)
        assert isinstance(value, Value)
        return as_number(value.isnan() if node.symbol == "Is" else ~value.isnan())

    def _has_texts(self, node: Node) -> bool:
        return any(
            isinstance(each.literal, str)
            or (each.symbol == "column" and self.held.get(each.columns[0]) == "texts")
            for each in node.operands
        )

    def _of_texts(self, node: Node, sources: Sources) -> Value:
        """A column of texts beside texts that are written in the formula."""
        columns = [each.columns[0] for each in node.operands if each.symbol == "column"]
        texts = [each.literal for each in node.operands if isinstance(each.literal, str)]
        if len(columns) != 1 or len(texts) != len(node.operands) - 1:
            raise UserError("texts are compared that are not one column and texts in quotes")
        ids = self._text_ids(columns[0], texts, sources)
        is_one = ids.equals(_YES)
        truth = as_number(is_one if node.symbol in ("Eq", "In") else ~is_one)
        return truth.where(~ids.equals(0), float("nan"))

    def _text_ids(self, name: str, texts: Sequence[str], sources: Sources) -> Value:
        """0 where missing, 2 where one of the texts, else 1."""
        if name in self.derived or self.held.get(name, "texts") != "texts":
            raise UserError(f"column {name!r} holds no texts, but is compared with one")
        missing = list(dict.fromkeys([MISSING_TEXT, *sources.words(name)]))
        wanted = [text for text in dict.fromkeys(texts) if text not in missing]
        ids = [*[0] * len(missing), *[_YES] * len(wanted)]
        return sources.ids(ValueIds(name, "texts", [*missing, *wanted], ids))

    def _of_times(self, node: Node, sources: Sources) -> Value:
        how = [each.literal for each in node.operands if isinstance(each.literal, str)]
        whens = [each for each in node.operands if not isinstance(each.literal, str)]
        unit = next((text for text in how if text in _UNITS), None)
        zone = next((text for text in how if text != unit), None)
        found = [self._time(when, unit, zone, sources) for when in whens]
        (is_known, first), *rest = found
        if not rest:
            value = OF_A_TIME[node.symbol](first)
        else:
            ((is_there, second),) = rest
            is_known = is_known & is_there
            value = OF_TWO_TIMES[node.symbol](first, second)
        return value.cast("float64").where(is_known, float("nan"))

    def _time(
        self, when: Node, unit: str | None, zone: str | None, sources: Sources
    ) -> tuple[Value, Value]:
        """Which times are there, and what the clocks of the zone show."""
        name = when.columns[0] if when.symbol == "column" else None
        if name is None or name in self.derived:
            raise UserError("a time that is no column of the table")
        if unit is None and zone is not None:
            raise UserError(f"the times of column {name!r} are moved to {zone}")
        if unit is None and sources.zones.get(name):
            raise UserError(f"the times of column {name!r} have a zone")
        raw = sources.time(name, "integers" if unit else "times", False)
        is_known, given = known_times(raw)
        return is_known, on_the_clock_of(zone, in_microseconds(given, unit))
