"""A table described column by column, for a person who is about to train on it."""

from dataclasses import dataclass

import pyarrow as pa

from polytask.data.column_statistics import column_statistics, sampled
from polytask.data.schema import Column, Schema

_EXAMPLES = 3
_EXAMPLE_LENGTH = 40


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

    >>> from polytask.data.schema import infer_schema
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
