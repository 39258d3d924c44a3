"""A table described column by column, for a person who is about to train on it."""

from dataclasses import dataclass

import pyarrow as pa

from polytask.data.column_statistics import column_statistics, sampled
from polytask.data.schema import Column, ColumnKind, Schema

_EXAMPLES = 3
_EXAMPLE_LENGTH = 40


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """What is known of one column.

    num_distinct: different values, missing ones not among them, of all rows or of `num_counted`
    rows spread over a long table; None for lists, which are not counted. missing_share: of all
    rows. examples: the commonest values, as text.
    """

    name: str
    dtype: str
    kind: ColumnKind
    reason: str
    num_distinct: int | None
    num_counted: int
    missing_share: float
    examples: tuple[str, ...]


def describe_table(schema: Schema, table: pa.Table) -> list[ColumnReport]:
    """One record a column, in the schema's order; `schema` was inferred from `table`."""
    sample = sampled(table)
    return [_report(column, table[column.name], sample[column.name]) for column in schema.columns]


def _report(column: Column, values: pa.ChunkedArray, sample: pa.ChunkedArray) -> ColumnReport:
    if pa.types.is_nested(values.type):
        commonest, num_distinct = values.slice(0, _EXAMPLES).to_pylist(), None
    else:
        statistics = column_statistics(column.name, values, sample)
        commonest, num_distinct = statistics.values[:_EXAMPLES].to_pylist(), statistics.num_distinct
    return ColumnReport(
        name=column.name,
        dtype=column.dtype,
        kind=column.kind,
        reason=column.reason,
        num_distinct=num_distinct,
        num_counted=len(sample),
        missing_share=values.null_count / max(len(values), 1),
        examples=tuple(_shortened(str(value)) for value in commonest),
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _EXAMPLE_LENGTH else f"{text[: _EXAMPLE_LENGTH - 3]}..."
