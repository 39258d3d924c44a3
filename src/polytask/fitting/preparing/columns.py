"""What each column of a table is to a fit: an input, a label, or left out."""

from collections.abc import Sequence

import pyarrow as pa

from polytask.config import FitConfig, TaskConfig
from polytask.data.derive import Derivation, parse_derivation
from polytask.data.readers import TableSource, read_table, require_columns
from polytask.data.schema import Schema, infer_schema
from polytask.errors import UserError
from polytask.fitting.preparing.encoding import (
    apply_derivations,
    derived_from,
    made_from,
)
from polytask.fitting.preparing.growing import columns_before, growing_options
from polytask.fitting.preparing.history import (
    claimed_columns,
    history_columns,
)
from polytask.fitting.preparing.tasks import (
    resolve_tasks,
)
from polytask.fitting.preparing.where import matching
from polytask.inputs import repeating

_FROM_VALUES = ("categorical", "numeric", "time", "image")
"""Inputs of which a column may be one by its values alone."""


def inspect_table(config: FitConfig, table: TableSource | None = None) -> tuple[pa.Table, Schema]:
    """The table with derived columns, and what `fit` would make of each column."""
    source = table if table is not None else config.table
    if source is None:
        raise UserError("there is no table to inspect")
    derivations = [parse_derivation(text) for text in config.derive]
    whole = apply_derivations(read_table(source, options=growing_options(config)), derivations)
    whole = matching(whole, config.where)
    if config.tasks:
        config = resolve_tasks(config, whole)
    check_columns(config, whole)
    return whole, schema_of(config, whole, derivations)


def check_columns(config: FitConfig, table: pa.Table) -> None:
    for option in ("group", "split_by", "time_column"):
        name = getattr(config, option)
        if name is not None:
            require_columns(table, [name], f"--{option.replace('_', '-')}")
    weights = [column for column in config.weight.values() if isinstance(column, str)]
    require_columns(table, weights, "--weight")


def schema_of(
    config: FitConfig,
    table: pa.Table,
    derivations: Sequence[Derivation],
) -> Schema:
    label_columns = {task.column for task in config.tasks if isinstance(task, TaskConfig)}
    weights = {column for column in config.weight.values() if isinstance(column, str)}
    # What rows are parted by is another value in the test: no input, unless it is asked for.
    named = {*(config.inputs or ()), *config.categorical, *config.numeric}
    named |= {name for names in config.columns.values() for name in names}
    parting = {name for name in (config.time_column, config.split_by) if name is not None} - named
    extra = (weights | parting) - set(config.ignore) - label_columns
    labels = derived_from(derivations, frozenset(label_columns))
    giveaways = made_from(derivations, labels | set(config.after))
    derived = {name: giveaways[name] for name in giveaways.keys() - set(config.allow)}
    history = claimed_columns(config)
    columns = {**config.columns, "history": history}
    # What a run that goes on has read stays what it was, whatever today's rows look like.
    free = set(table.column_names if config.inputs is None else config.inputs)
    free -= {*labels, *derived, *config.ignore, *extra, *config.after, *named, *history}
    for name, before in columns_before(config).items():
        if name in _FROM_VALUES:
            columns[name] = (*columns.get(name, ()), *(c for c in before if c in free))
    return infer_schema(
        table,
        labels=labels,
        derived=derived,
        inputs=config.inputs,
        ignore=(*config.ignore, *sorted(extra)),
        categorical=config.categorical,
        numeric=config.numeric,
        columns=columns,
        after=config.after,
        text=config.text,
    )


def input_columns(config: FitConfig, schema: Schema, train: pa.Table) -> dict[str, tuple[str, ...]]:
    """The columns of each input; of numbers, those that are read as single values too."""
    columns = schema.inputs
    if config.numeric_values == "auto":
        found = repeating(train, schema.numeric)
        before = columns_before(config).get("frequent_values", ())
        found = tuple(name for name in schema.numeric if name in found or name in before)
        columns["frequent_values"] = (*columns.get("frequent_values", ()), *found)
    columns["history"] = history_columns(config)
    return columns
