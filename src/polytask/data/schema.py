"""The columns of a table, and which input of a model reads each, if any."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa

from polytask.data.facts import facts_of, sampled
from polytask.data.guesses import ColumnKind as ColumnKind
from polytask.data.wishes import Wishes
from polytask.errors import UserError


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table and the part that it plays.

    `dtype` is Arrow's type as text (of a dictionary, its values'); `reason` says in a few words why the kind was chosen.
    """

    name: str
    kind: ColumnKind
    dtype: str
    reason: str


@dataclass(frozen=True, slots=True)
class Schema:
    """All columns of a table, in the table's order."""

    columns: tuple[Column, ...]

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """The columns that each input reads, by the inputs' names."""
        names = dict.fromkeys(column.kind for column in self.columns if column.kind != "ignored")
        return {name: self._names(name) for name in names}

    @property
    def numeric(self) -> tuple[str, ...]:
        return self._names("numeric")

    @property
    def categorical(self) -> tuple[str, ...]:
        return self._names("categorical")

    @property
    def ignored(self) -> tuple[str, ...]:
        return self._names("ignored")

    def _names(self, kind: ColumnKind) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.kind == kind)


def infer_schema(
    table: pa.Table,
    *,
    labels: Collection[str] = (),
    inputs: Collection[str] | None = None,
    ignore: Collection[str] = (),
    categorical: Collection[str] = (),
    numeric: Collection[str] = (),
    columns: Mapping[str, Collection[str]] = MappingProxyType({}),
    after: Collection[str] = (),
    derived: Mapping[str, str] = MappingProxyType({}),
    refuse_lists: bool = True,
) -> Schema:
    """Guess every column's kind; what the caller says goes before any guess.

    labels: columns from which a label is made; after: known only after the event; both are no
    inputs, nor is what is derived from such a column (`derived`: by which). inputs: these alone, and without a guess that would leave one of them out.
    columns: which of them an input reads, by its name, such as {"time": ["created"]}.
    refuse_lists: False ignores list columns instead, so that a table can be looked at.
    Raises UserError for unknown names, contradictions, list columns among the inputs, and kinds
    that a column's values do not allow.
    """
    claims = {"categorical": categorical, "numeric": numeric}
    claims |= {name: (*claims.get(name, ()), *named) for name, named in columns.items()}
    wishes = Wishes(labels, inputs, ignore, claims, after, derived)
    wishes.check(table)
    sample = sampled(table)
    found: list[Column] = []
    nested: list[pa.Field] = []
    for field in table.schema:
        kind, reason = wishes.told(field.name)
        if kind is None and pa.types.is_nested(field.type):
            kind, reason = wishes.claim(field.name) or "ignored", "as asked for"
            if kind in ("ignored", "numeric", "categorical"):
                nested.append(field)
                kind, reason = "ignored", "a list or a structure: fit wants it named by --ignore"
        if kind is None:
            facts = facts_of(field.name, table[field.name], sample[field.name])
            kind, reason = wishes.decided(facts)
        found.append(Column(field.name, kind, dtype_of(field.type), reason))
    if nested and refuse_lists:
        raise _list_columns(nested)
    return Schema(tuple(found))


def dtype_of(kind: pa.DataType) -> str:
    """Arrow's type as text; one text for a column whether it is dictionary-encoded or not."""
    return str(kind.value_type if pa.types.is_dictionary(kind) else kind)


def _list_columns(fields: Sequence[pa.Field]) -> UserError:
    told = ", ".join(f"{field.name!r} ({field.type})" for field in fields)
    names = ",".join(field.name for field in fields)
    return UserError(
        f"lists and structures cannot be inputs yet: {told}; leave them out with --ignore {names}"
    )
