"""The raw columns of a graph, and what modules read of them: numbers, times, ids of a vocabulary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from polytask.errors import UserError
from polytask.inputs.vocabulary import FIRST_ID, MISSING_ID

Need = Literal["texts", "integers", "large integers", "booleans", "numbers", "times"]
_TOGETHER: Mapping[frozenset[str], Need] = {
    frozenset({"numbers", "integers"}): "integers",
    frozenset({"numbers", "booleans"}): "booleans",
    frozenset({"integers", "booleans"}): "booleans",
}
"""Needs that one raw column can meet."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A column's values and the id of each; all others have id 1. Floats are compared in float32."""

    column: str
    need: Need
    keys: tuple[str, ...] | tuple[int, ...] | tuple[float, ...]
    ids: tuple[int, ...]


@dataclass(slots=True)
class Channels:
    """What the modules of a graph read, each once: `numbers` (B, N) float64, NaN where missing; `ids` (B, C)
    and `times` (B, K), int64.

    Modules ask for what they need while they are made, and keep the places. Those of `derived` columns,
    which the graph calculates, count from -1 down: no raw column is read under their name.
    """

    derived: tuple[str, ...] = ()
    derived_lookups: list[Lookup] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    lookups: list[Lookup] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    needs_of_times: dict[str, Need] = field(default_factory=dict)
    zones: dict[str, bool | None] = field(default_factory=dict)

    def numbers_of(self, columns: Sequence[str]) -> list[int]:
        """The places of these columns as numbers."""
        return [
            -1 - self.derived.index(name) if name in self.derived else _place(self.numbers, name)
            for name in columns
        ]

    def time_of(self, column: str, need: Need, has_zone: bool | None) -> int:
        """The place of a column of times, or of whole numbers that stand for times."""
        if column in self.derived:
            raise UserError(f"derived column {column!r} is read as a time, which no graph calculates")
        self.needs_of_times[column], self.zones[column] = need, has_zone
        return _place(self.times, column)

    def ids_of(self, lookup: Lookup) -> int:
        """The place of the ids of one column."""
        if lookup.column not in self.derived:
            return _place(self.lookups, lookup)
        if lookup.need in ("texts", "large integers"):
            raise UserError(f"derived column {lookup.column!r} holds texts, which no graph calculates")
        return -1 - _place(self.derived_lookups, lookup)

    def widths(self) -> dict[str, int]:
        """How many columns each part of `Raw` has."""
        parts = {"numbers_BN": self.numbers, "ids_BC": self.lookups, "times_BK": self.times}
        return {name: len(columns) for name, columns in parts.items()}

    def needs(self) -> dict[str, set[Need]]:
        """By column, what is read of it."""
        found: dict[str, set[Need]] = {}
        asked = [
            *((name, "numbers") for name in self.numbers),
            *self.needs_of_times.items(),
            *((lookup.column, lookup.need) for lookup in self.lookups),
        ]
        for name, need in asked:
            found.setdefault(name, set()).add(need)  # type: ignore[arg-type]
        return found


def raw_type(column: str, needs: set[Need]) -> Need:
    """What the raw column holds; UserError where it would have to be two things."""
    if len(needs) == 1:
        return next(iter(needs))
    found = _TOGETHER.get(frozenset(needs))
    if found is None:
        raise UserError(
            f"column {column!r} is read as {' and as '.join(sorted(needs))}, and a graph has one of these: "
            "leave one of its uses out, or compute it before as a column of its own"
        )
    return found


def vocabulary_lookup(
    column: str, values: pa.Array, need: Need, *, mark: str, words: Sequence[str]
) -> Lookup:
    """The ids of a vocabulary's values; the mark and the words are missing ones."""
    ids = range(FIRST_ID, FIRST_ID + len(values))
    if need in ("texts", "large integers"):
        texts = [str(value) for value in values.to_pylist()]
        others = [word for word in dict.fromkeys([mark, *words]) if word not in set(texts)]
        return Lookup(column, need, (*others, *texts), (*[MISSING_ID] * len(others), *ids))
    keys = tuple(int(value) for value in values.to_pylist())
    return Lookup(column, need, keys, tuple(ids))


def _place(among: list, entry: object) -> int:  # type: ignore[type-arg]
    if entry not in among:
        among.append(entry)
    return among.index(entry)
