"""What the user says about columns: it is checked, and it overrides inference."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import combinations, product

import pyarrow as pa
import pyarrow.compute as pc

from polytask.data.column_statistics import ColumnStatistics
from polytask.data.inference import (
    ColumnKind,
    Inference,
    are_numbers,
    holds_numbers_as_text,
    infer_column,
    is_number,
    is_text,
)
from polytask.data.readers import require_columns
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
        wanted = {"inputs": self.inputs or (), **self.claims, "text": self.text}
        unwanted = {
            "labels": self.labels,
            "ignore": self.ignore,
            "after": self.after,
            "derived": self.derived,
        }
        for what, names in (wanted | unwanted).items():
            require_columns(table, names, what)
        pairs = [*combinations(self.claims, 2), ("text", "numeric")]
        for first, second in (*product(wanted, unwanted), *pairs):
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

    def exclusion(self, name: str) -> tuple[ColumnKind | None, str]:
        """Why the column is left out, whatever it holds; None where that is not said."""
        if name in self.labels:
            return "ignored", "a label is made from it"
        if name in self.after:
            return "ignored", "known only after the event"
        if name in self.derived:
            source = self.derived[name]
            return "ignored", f"derived from {source!r}, which is no input (--allow keeps it)"
        if name in self.ignore:
            return "ignored", "left out on request"
        if self.inputs is not None and name not in self.inputs:
            return "ignored", "not among the inputs asked for"
        return None, ""

    def refuse(self, name: str, reason: str) -> None:
        """Raise UserError for a column that is no input whatever is asked, if it is asked for."""
        if name in (self.inputs or ()) or self.claim(name) is not None:
            raise UserError(f"{name!r} cannot be an input: {reason}")

    def claim(self, name: str) -> str | None:
        """The input that the user named for the column."""
        return next((kind for kind, names in self.claims.items() if name in names), None)

    def kind_of(self, statistics: ColumnStatistics) -> Inference:
        """The kind asked for, if the values allow it, else the inferred one."""
        asked = self.inputs is not None
        if statistics.num_distinct == 0:
            return infer_column(statistics, asked=asked)
        claim = self.claim(statistics.name)
        if claim is not None:
            return _forced(statistics, claim)
        kind, reason = infer_column(statistics, asked=asked)
        if asked and kind == "ignored":
            raise UserError(f"{statistics.name!r} cannot be an input: {reason}")
        return kind, reason


def _forced(statistics: ColumnStatistics, kind: ColumnKind) -> Inference:
    allowed, what = _TAKES.get(kind, (None, ""))
    if allowed is None or allowed(statistics):
        return kind, "as asked for"
    examples = ", ".join(repr(value) for value in _odd_values(statistics, kind)[:3].to_pylist())
    hint = "; words for missing are named by --missing" if kind == "numeric" else ""
    raise UserError(
        f"{statistics.name!r} cannot be {kind}: that takes {what}, but it is {statistics.type}, "
        f"with values such as {examples}{hint}"
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
