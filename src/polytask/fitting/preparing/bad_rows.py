"""Rows that an input cannot read, such as broken pictures: a fit stops at them, or leaves them out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.columns.values import told
from polytask.config import FitConfig
from polytask.data.labels import Encoded, LabelEncoder
from polytask.errors import UserError
from polytask.fitting.preparing.encoding import encode_examples
from polytask.fitting.preparing.splitting import Parts
from polytask.inputs import INPUTS, BadRowsError, FittedInputs
from polytask.streams import Batch

_MOST_NAMED = 3


class Readable(NamedTuple):
    """A table without its bad rows, the places of those that are left, and a note on the others."""

    table: pa.Table
    kept: NDArray[np.int64]
    note: str


def readable(
    table: pa.Table, columns: Mapping[str, Sequence[str]], numbers: NDArray[np.int64] | None = None
) -> Readable:
    """The rows of which every input can read its columns; UserError where there are none.

    `numbers` are those of the rows where they are not 0, 1, ...
    """
    numbers = np.arange(table.num_rows) if numbers is None else numbers
    reasons: dict[int, str] = {}
    for name, names in columns.items():
        reasons |= INPUTS[name].bad_rows(table, names)
    rows = np.setdiff1d(np.arange(table.num_rows), list(reasons))
    if not reasons:
        return Readable(table, rows, "")
    shown = [f"row {numbers[row]}: {reasons[row]}" for row in sorted(reasons)[:_MOST_NAMED]]
    more = f"; and {len(reasons) - len(shown):,} more" if len(reasons) > len(shown) else ""
    note = f"{told(len(reasons), 'row')} left out ({'; '.join(shown)}{more})"
    if not len(rows):
        raise UserError(f"no row of the table can be read: {note}")
    return Readable(table.take(rows), rows, note)


def without_bad_rows(
    parts: Parts, columns: Mapping[str, Sequence[str]]
) -> tuple[Parts, tuple[str, ...]]:
    """The parts without the rows that an input cannot read, and a note for each that lost some."""
    tables: dict[str, pa.Table] = {}
    rows: dict[str, NDArray[np.int64]] = {}
    sets: dict[str, NDArray[np.int64]] = {}
    notes: list[str] = []
    for name, table in parts.tables().items():
        left = readable(table, columns, parts.rows_of(name))
        tables[name], rows[name] = left.table, parts.rows_of(name)[left.kept]
        sets |= {name: parts.sets[name][left.kept]} if name in parts.sets else {}
        notes += [f"{name}: {left.note}"] if left.note else []
    return replace(parts, **tables, rows=rows, sets=sets), tuple(notes)


def encoded_parts(
    config: FitConfig, parts: Parts, inputs: FittedInputs, targets: LabelEncoder
) -> dict[str, tuple[Batch, Encoded]]:
    """The examples of each part."""
    encoded = {}
    for name, table in parts.tables().items():
        with rows_named(parts, name):
            encoded[name] = encode_examples(
                config, table, inputs, targets, rows=parts.rows_of(name), part=name
            )
    return encoded


@contextmanager
def rows_named(parts: Parts, name: str) -> Iterator[None]:
    """Say of a bad row of a part which one it is of the table that was read."""
    try:
        yield
    except BadRowsError as error:
        rows = parts.rows_of(name)
        raise error.among(rows, part=name, hint=", --on-bad-row=drop") from error
