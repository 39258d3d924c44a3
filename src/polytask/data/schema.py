"""The columns of a table, and which input of a model reads each, if any."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa

from polytask.columns.values import type_name
from polytask.data.column_statistics import column_statistics, sampled
from polytask.data.inference import ColumnKind as ColumnKind
from polytask.data.notes import notes_of
from polytask.data.overrides import Overrides

_MOST_NAMED = 8
_DOUBTFUL = ("whole numbers", "the name says a code")
_EXAMPLES = 3
_EXAMPLE_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table and the part that it plays.

    `dtype` is Arrow's type as text (of a dictionary, its values'); `reason` says in a few words why
    the kind was chosen. `is_requested`: the options say so, whatever the column holds.
    """

    name: str
    kind: ColumnKind
    dtype: str
    reason: str
    is_requested: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """All columns of a table, in the table's order.

    `notes` say what was changed in a column while it was read, one line each.
    """

    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()

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

    @property
    def unused(self) -> tuple[Column, ...]:
        """Columns that nobody left out and that are no inputs all the same."""
        return tuple(c for c in self.columns if c.kind == "ignored" and not c.is_requested)

    def unused_summary(self) -> str | None:
        """`2 columns not used: tags (a list), when (a time)`; None if every column is used."""
        if not self.unused:
            return None
        noun = "column" if len(self.unused) == 1 else "columns"
        return f"{len(self.unused):,} {noun} not used: {_named(self.unused)}"

    def inferred_summary(self) -> tuple[str, ...]:
        """`taken for numbers: age (whole numbers, 91 different)`, and the same for categories.

        Only columns about which one may doubt: whole numbers, and codes by their name.
        """
        lines = []
        for kind, what in (("numeric", "numbers"), ("categorical", "categories")):
            found = [c for c in self.columns if c.kind == kind and c.reason.startswith(_DOUBTFUL)]
            if found:
                lines.append(f"taken for {what}: {_named(found)}")
        return tuple(lines)

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
    text: Collection[str] = (),
) -> Schema:
    """Infer every column's kind; what the caller says overrides it.

    labels: columns from which a label is made; after: known only after the event; both are no
    inputs, nor is what is derived from such a column (`derived`: by which). inputs: these alone,
    and none of them is left out by inference.
    columns: which of them an input reads, by its name, such as {"time": ["created"]}.
    text: columns that were read as text; they are only checked here. List columns are ignored,
    unless an input is named for them.
    Raises UserError for unknown names, contradictions, and kinds that a column's values do not
    allow.
    """
    claims = {"categorical": categorical, "numeric": numeric}
    claims |= {name: (*claims.get(name, ()), *named) for name, named in columns.items()}
    overrides = Overrides(labels, inputs, ignore, claims, text, after, derived)
    overrides.check(table)
    sample = sampled(table)
    found: list[Column] = []
    for field in table.schema:
        name, excluded = field.name, overrides.exclusion(field.name)
        if excluded is not None:
            kind, reason = "ignored", excluded
        else:
            kind, reason = overrides.kind_of(name, table[name], sample[name])
        dtype = type_name(field.type)
        found.append(Column(name, kind, dtype, reason, is_requested=excluded is not None))
    return Schema(tuple(found), notes_of(table))


def _named(columns: Sequence[Column]) -> str:
    shown = [f"{column.name} ({column.reason})" for column in columns[:_MOST_NAMED]]
    more = len(columns) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """What is known of one column.

    num_distinct: different values, missing ones not among them, of a long table in a sample; None
    for lists, which are not counted. missing_share: of all rows. examples: the commonest, as text.
    """

    column: Column
    num_distinct: int | None
    missing_share: float
    examples: tuple[str, ...]


def describe_table(schema: Schema, table: pa.Table) -> list[ColumnReport]:
    """One record a column, in the schema's order; `schema` was inferred from `table`.

    >>> table = pa.table({"city": ["Bonn", "Kiel", "Bonn", None]})
    >>> (city,) = describe_table(infer_schema(table), table)
    >>> city.num_distinct, city.missing_share, city.examples
    (2, 0.25, ('Bonn', 'Kiel'))
    """
    sample = sampled(table)
    reports = []
    for column in schema.columns:
        values, num_distinct = table[column.name], None
        commonest = values.slice(0, _EXAMPLES)
        if not pa.types.is_nested(values.type):
            statistics = column_statistics(column.name, values, sample[column.name])
            commonest, num_distinct = statistics.values[:_EXAMPLES], statistics.num_distinct
        examples = tuple(_shortened(str(value)) for value in commonest.to_pylist())
        missing_share = values.null_count / max(len(values), 1)
        reports.append(ColumnReport(column, num_distinct, missing_share, examples))
    return reports


def _shortened(text: str) -> str:
    return text if len(text) <= _EXAMPLE_LENGTH else f"{text[: _EXAMPLE_LENGTH - 3]}..."
