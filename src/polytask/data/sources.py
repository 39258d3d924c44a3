"""Something opened as a table: its columns are known before its rows are read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from polytask.data.options import Decimal
from polytask.data.scans import Scan


@dataclass(frozen=True, slots=True)
class Source:
    """The names of a table's columns, and `read`, which gives some of them with all of their rows.

    declared: columns that the source itself calls categories. decimal: the decimal sign of its
    text, where it shows. note: what was not read, a note of the first column.
    scan: the same table in pieces, of formats that are read so.
    """

    names: Sequence[str]
    read: Callable[[Sequence[str]], pa.Table]
    declared: frozenset[str] = frozenset()
    decimal: Decimal | None = None
    note: str = ""
    scan: Scan | None = None

    @classmethod
    def of(cls, schema: pa.Schema, read: Callable[[Sequence[str]], pa.Table]) -> "Source":
        """With the names of a schema, and its dictionaries as declared categories."""
        declared = [field.name for field in schema if pa.types.is_dictionary(field.type)]
        return cls(schema.names, read, frozenset(declared))

    @classmethod
    def of_tables(cls, tables: Sequence[pa.Table]) -> "Source":
        """Tables in memory, one below the other; a column that one lacks is missing there."""
        several = len(tables) > 1
        table = pa.concat_tables(tables, promote_options="permissive") if several else tables[0]
        return replace(cls.of(table.schema, table.select), scan=Scan.of_table(table))
