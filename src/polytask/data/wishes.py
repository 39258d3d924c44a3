"""What the user says about columns: it is checked, and it goes before every guess."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import combinations, product

import pyarrow as pa

from polytask.data.facts import Facts
from polytask.data.guesses import (
    ColumnKind,
    Guess,
    guess,
    holds_numbers_as_text,
    is_number,
    is_text,
)
from polytask.data.readers import require_columns
from polytask.errors import UserError


@dataclass(frozen=True, slots=True)
class Wishes:
    """Lists of column names, as `infer_schema` explains them."""

    labels: Collection[str]
    inputs: Collection[str] | None
    ignore: Collection[str]
    claims: Mapping[str, Collection[str]]
    after: Collection[str]
    derived: Mapping[str, str]

    def check(self, table: pa.Table) -> None:
        """Raise UserError for an unknown name and for one in two lists that contradict."""
        wanted = {"inputs": self.inputs or (), **self.claims}
        unwanted = {
            "labels": self.labels,
            "ignore": self.ignore,
            "after": self.after,
            "derived": self.derived,
        }
        for what, names in (wanted | unwanted).items():
            require_columns(table, names, what)
        for first, second in (*product(wanted, unwanted), *combinations(self.claims, 2)):
            others = set((wanted | unwanted)[second])
            for name in wanted[first]:
                if name in others and second == "derived":
                    raise UserError(
                        f"{name!r} is named by {first}, but it is derived from "
                        f"{self.derived[name]!r}, which is no input; if it is known before the "
                        f"event, --allow {name}"
                    )
                if name in others:
                    raise UserError(f"{name!r} is named by {first} and by {second}: keep one")

    def told(self, name: str) -> tuple[ColumnKind | None, str]:
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

    def claim(self, name: str) -> str | None:
        """The input that the user named for the column."""
        return next((kind for kind, names in self.claims.items() if name in names), None)

    def decided(self, facts: Facts) -> Guess:
        """The kind asked for, if the values allow it, else the guess."""
        asked = self.inputs is not None
        if facts.num_distinct == 0:
            return guess(facts, asked=asked)
        claim = self.claim(facts.name)
        if claim is not None:
            return _forced(facts, claim)
        kind, reason = guess(facts, asked=asked)
        if asked and kind == "ignored":
            raise UserError(f"{facts.name!r} cannot be an input: {reason}")
        return kind, reason


def _forced(facts: Facts, kind: ColumnKind) -> Guess:
    allowed, what = _TAKES.get(kind, (None, ""))
    if allowed is None or allowed(facts):
        return kind, "as asked for"
    examples = ", ".join(str(value) for value in facts.values[:3].to_pylist())
    raise UserError(
        f"{facts.name!r} cannot be {kind}: that takes {what}, but it is {facts.type}, with values"
        f" such as {examples}"
    )


def _can_be_categories(facts: Facts) -> bool:
    kind = facts.value_type
    return is_text(kind) or facts.is_whole or bool(pa.types.is_boolean(kind))


def _can_be_numbers(facts: Facts) -> bool:
    kind = facts.value_type
    return is_number(kind) or bool(pa.types.is_boolean(kind)) or holds_numbers_as_text(facts)


_TAKES: Mapping[str, tuple[Callable[[Facts], bool], str]] = {
    "categorical": (_can_be_categories, "whole numbers, text or true/false"),
    "numeric": (_can_be_numbers, "numbers"),
}
"""What can be said before fitting; every other input says itself what it cannot read."""
