"""What the user says about columns: it is checked, and it overrides inference."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import combinations, product

import pyarrow as pa
import pyarrow.compute as pc

from polytask.columns.required import require_columns
from polytask.columns.values import is_number, is_text
from polytask.data.column_statistics import ColumnStatistics, column_statistics
from polytask.data.inference import (
    ColumnKind,
    Inference,
    are_numbers,
    holds_numbers_as_text,
    infer_column,
    is_type_of_pictures,
)
from polytask.errors import UserError, flag


@dataclass(frozen=True, slots=True)
class Overrides:
    """Lists of column names, as `infer_schema` explains them."""

    labels: Collection[str]
    inputs: Collection[str] | None
    ignore: Collection[str]
    claims: Mapping[str, Collection[str]]
    text: Collection[str]
    after: Collection[str]
    derived: Mapping[str, str]

    def check(self, table: pa.Table) -> None:
        """Raise UserError for an unknown name and for one in two lists that contradict."""
        # The input of texts may stand beside the wish to read columns as text: both mean the same values.
        text = (*self.text, *self.claims.get("text", ()))
        wanted = {"inputs": self.inputs or (), **self.claims, "text": text}
        unwanted = {
            "labels": self.labels,
            "ignore": self.ignore,
            "after": self.after,
            "derived": self.derived,
        }
        for what, names in (wanted | unwanted).items():
            require_columns(table, names, what)
        self._check_claims()
        for first, second in (*product(wanted, unwanted), ("text", "numeric")):
            others = set((wanted | unwanted)[second])
            for name in wanted[first]:
                if name in others and second == "derived":
                    raise UserError(
                        f"{name!r} is named by {first}, but it is derived from "
                        f"{self.derived[name]!r}, which is no input; if it is known before the "
                        f"event, {flag('allow', name)}"
                    )
                if name in others:
                    raise UserError(f"{name!r} is named by {first} and by {second}: keep one")

    def _check_claims(self) -> None:
        for (first, names), (second, others) in combinations(self.claims.items(), 2):
            for name in names:
                if name in others:
                    raise UserError(f"{name!r} is named by {first} and by {second}: keep one")

    def exclusion(self, name: str) -> str | None:
        """Why the column is left out, whatever it holds; None where that is not said."""
        if name in self.labels:
            return "a label is made from it"
        if name in self.after:
            return "known only after the event"
        if name in self.derived:
            return f"derived from {self.derived[name]!r}, which is no input (--allow keeps it)"
        if name in self.ignore:
            return "left out on request"
        if self.inputs is not None and name not in self.inputs:
            return "not among the inputs asked for"
        return None

    def kind_of(self, name: str, column: pa.ChunkedArray, sample: pa.ChunkedArray) -> Inference:
        """The kind asked for, if the values allow it, else the inferred one."""
        is_asked = self.inputs is not None
        claim = next((kind for kind, names in self.claims.items() if name in names), None)
        if pa.types.is_nested(column.type):
            if claim not in (None, "numeric", "categorical"):
                return claim, "as asked for"
            if claim is None and is_type_of_pictures(column.type):
                return "image", "pictures, by the column's type"
            kind, reason = "ignored", _nested(name, column.type)
            is_wanted = is_asked or claim is not None
        else:
            statistics = column_statistics(name, column, sample)
            is_wanted = is_asked and statistics.num_distinct > 0
            if claim is not None and statistics.num_distinct > 0:
                return _forced(statistics, claim)
            kind, reason = infer_column(statistics, asked=is_asked)
        if is_wanted and kind == "ignored":
            raise UserError(f"{name!r} cannot be an input: {reason}")
        return kind, reason


def _nested(name: str, dtype: pa.DataType) -> str:
    if pa.types.is_struct(dtype) or pa.types.is_map(dtype):
        return f"a structure ({dtype}), no input yet"
    return f"a list ({dtype}); {flag('columns', f'sequence={name}')} reads it"


def _forced(statistics: ColumnStatistics, kind: ColumnKind) -> Inference:
    allowed, what = _TAKES.get(kind, (None, ""))
    if allowed is None or allowed(statistics):
        return kind, "as asked for"
    examples = ", ".join(repr(value) for value in _odd_values(statistics, kind)[:3].to_pylist())
    reads = flag("columns", f"text={statistics.name}")
    hint = f"; words for missing are named by --missing, texts are read by {reads}"
    raise UserError(
        f"{statistics.name!r} cannot be {kind}: that takes {what}, but it is {statistics.type}, "
        f"with values such as {examples}{hint if kind == 'numeric' else ''}"
    )


def _odd_values(statistics: ColumnStatistics, kind: ColumnKind) -> pa.Array:
    """The values that stand in the way."""
    if kind == "numeric" and is_text(statistics.value_type):
        return statistics.values.filter(pc.invert(are_numbers(statistics.values)))
    return statistics.values


def _can_be_categories(statistics: ColumnStatistics) -> bool:
    kind = statistics.value_type
    return is_text(kind) or statistics.is_whole or bool(pa.types.is_boolean(kind))


def _can_be_numbers(statistics: ColumnStatistics) -> bool:
    kind = statistics.value_type
    return is_number(kind) or bool(pa.types.is_boolean(kind)) or holds_numbers_as_text(statistics)


_TAKES: Mapping[str, tuple[Callable[[ColumnStatistics], bool], str]] = {
    "categorical": (_can_be_categories, "whole numbers, text or true/false"),
    "numeric": (_can_be_numbers, "numbers"),
}
"""What can be said before fitting; every other input says itself what it cannot read."""
