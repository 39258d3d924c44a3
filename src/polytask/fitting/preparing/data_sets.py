"""A data set per task: several tables are read and split each by itself, then joined below each other."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.columns.required import require_columns
from polytask.columns.values import is_number, is_text, type_name, value_type
from polytask.config import FitConfig, TaskConfig, parse_task
from polytask.data.derive import Derivation
from polytask.data.readers import TableSource, read_table
from polytask.errors import UserError, nearest
from polytask.fitting.preparing.encoding import apply_derivations, read_options
from polytask.fitting.preparing.splitting import Parts, split_table

PARTS = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class DataSet:
    """One of several data sets: the names of its tasks, and its rows in each part."""

    name: str
    tasks: tuple[str, ...]
    rows: Mapping[str, range]


def read_data_sets(
    config: FitConfig, derivations: Sequence[Derivation], named: Mapping[str, TableSource]
) -> tuple[FitConfig, Parts]:
    """The configuration with parsed tasks, and the parts of all data sets joined.

    A label column is SET.COLUMN in the joined tables and no column of its set any more, so that two sets
    may call their labels alike; other columns of one name are one input, missing where a set lacks them.
    """
    if config.where is not None:
        raise UserError("--where is for one table, but there are several data sets (--data)")
    tables = {}
    for name in config.data:
        with _named(name):
            tables[name] = _read(config, name, derivations, named)
    config = _with_tasks(config, tables)
    parts = {}
    for name, table in tables.items():
        with _named(name):
            own = _own_config(config, name)
            for option in ("split_by", "time_column"):
                column = getattr(own, option)
                require_columns(table, [column] if column else [], f"--{option.replace('_', '-')}")
            given = {p: named[f"{name}.{p}"] for p in PARTS if f"{name}.{p}" in named}
            parts[name] = split_table(own, table, derivations=derivations, named=given)
    return config, _joined(config, parts)


def data_sets_of(config: FitConfig, parts: Parts) -> tuple[DataSet, ...]:
    """Each data set's tasks and rows in the joined parts; none where there is one table."""
    found = []
    for place, name in enumerate(config.data):
        tasks = [t for t in config.tasks if isinstance(t, TaskConfig) and _set_of(t, name)]
        rows = {
            part: range(*np.searchsorted(codes_B, [place, place + 1]).tolist())
            for part, codes_B in parts.sets.items()
        }
        if not rows["train"]:
            raise UserError(f"data set {name!r} has no row to train on")
        found.append(DataSet(name, tuple(task.name for task in tasks), rows))
    return tuple(found)


def with_inputs_noted(config: FitConfig, parts: Parts, columns: Sequence[str]) -> FitConfig:
    """The configuration that says which of the input columns each data set has."""
    data = {
        name: one.model_copy(
            update={"inputs": tuple(c for c in columns if c in parts.columns_of[name])}
        )
        for name, one in config.data.items()
    }
    return config.model_copy(update={"data": data})


def label_column_of(name: str, column: str) -> str:
    """What a label column of a data set is called where all data sets are joined."""
    return f"{name}.{column}"


def as_joined(config: FitConfig, table: pa.Table, name: str | None) -> pa.Table:
    """A later table of the data set `name` with the columns of the joined ones.

    Input columns of other data sets are missing in every row. Without a name the table has to have
    all inputs of one data set. UserError for an unknown name, and for a column that the set had.
    """
    if not config.data:
        if name is not None:
            raise UserError(f"this run has one table and no data sets, but {name!r} is asked for")
        return table
    if name is not None and name not in config.data:
        raise UserError(f"this run has no data set {name!r}{nearest(name, config.data)}")
    columns = {key: one.inputs or () for key, one in config.data.items()}
    if name is None and not any(set(own) <= set(table.column_names) for own in columns.values()):
        lacks = {key: sorted(set(own) - set(table.column_names)) for key, own in columns.items()}
        told = "; ".join(f"{key}: {', '.join(names)}" for key, names in lacks.items())
        raise UserError(f"the table has the columns of none of the data sets; it lacks, of {told}")
    if name is not None:
        require_columns(table, columns[name], f"data set {name!r}")
        table = _with_labels_named(config, table, name)
    for column in dict.fromkeys(c for own in columns.values() for c in own):
        if column not in table.column_names:
            table = table.append_column(column, pa.nulls(table.num_rows))
    return table


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"data set {name!r}: {error.message}") from error


def _read(
    config: FitConfig,
    name: str,
    derivations: Sequence[Derivation],
    named: Mapping[str, TableSource],
) -> pa.Table:
    """With those derived columns whose sources it has."""
    source = named.get(f"{name}.table", config.data[name].table)
    if source is None:
        raise UserError("it has no table: write NAME=TABLE, or hand it over again")
    table = read_table(source, options=read_options(config))
    return apply_derivations(table, _possible(derivations, table))


def _possible(derivations: Sequence[Derivation], table: pa.Table) -> list[Derivation]:
    known, possible = set(table.column_names), []
    for derivation in derivations:
        if set(derivation.columns) <= known:
            possible.append(derivation)
            known.add(derivation.name)
    return possible


def _with_tasks(config: FitConfig, tables: Mapping[str, pa.Table]) -> FitConfig:
    """Tasks whose columns are SET.COLUMN, each of a data set and a column that exist."""
    columns = [
        label_column_of(name, c) for name, table in tables.items() for c in table.schema.names
    ]
    tasks = [parse_task(t, columns) if isinstance(t, str) else t for t in config.tasks]
    for task in tasks:
        name, dot, column = task.column.partition(".")
        if not dot or name not in tables:
            raise UserError(
                f"task {task.name!r}: there is no data set {name!r}{nearest(name, tables)}; a task "
                "of several data sets is SET.COLUMN[:KIND]"
            )
        with _named(name):
            require_columns(tables[name], [column], f"the task {task.name!r}")
            if tables[name][column].null_count == tables[name].num_rows:
                raise UserError(f"no row has a label of task {task.name!r} (column {column!r})")
    for name in tables:
        if not any(_set_of(task, name) for task in tasks):
            raise UserError(f"data set {name!r} has no task: name one, --task={name}.COLUMN")
    return config.model_copy(update={"tasks": tuple(tasks)})


def _set_of(task: TaskConfig, name: str) -> bool:
    return task.column.startswith(f"{name}.")


def _own_config(config: FitConfig, name: str) -> FitConfig:
    """The options as they are for one data set alone."""
    one = config.data[name]
    return config.model_copy(update={"valid": one.valid, "test": one.test})


def _with_labels_named(config: FitConfig, table: pa.Table, name: str) -> pa.Table:
    labels = {task.column for task in config.tasks if isinstance(task, TaskConfig)}
    return table.rename_columns(
        [
            label_column_of(name, column) if label_column_of(name, column) in labels else column
            for column in table.column_names
        ]
    )


def _joined(config: FitConfig, by_set: Mapping[str, Parts]) -> Parts:
    """All parts below each other, with the number of the data set and of its row, row by row."""
    tables: dict[str, pa.Table | None] = {}
    rows: dict[str, NDArray[np.int64]] = {}
    sets: dict[str, NDArray[np.int64]] = {}
    names = list(by_set)
    for part in PARTS:
        own = {n: p.tables()[part] for n, p in by_set.items() if part in p.tables()}
        named = {n: _with_labels_named(config, table, n) for n, table in own.items()}
        tables[part] = _below_each_other(named) if named else None
        if own:
            lengths = [table.num_rows for table in own.values()]
            sets[part] = np.repeat([names.index(name) for name in own], lengths)
            rows[part] = np.concatenate([by_set[name].rows_of(part) for name in own])
    columns = {n: frozenset(p.train.column_names) for n, p in by_set.items()}
    return Parts(tables["train"], tables["valid"], tables["test"], rows, sets, columns)


def _below_each_other(tables: Mapping[str, pa.Table]) -> pa.Table:
    """One table with the columns of all; UserError for a column that is text here and numbers there."""
    types: dict[str, dict[str, pa.DataType]] = {}
    for name, table in tables.items():
        for field in table.schema:
            types.setdefault(field.name, {})[name] = field.type
    chosen = {column: _common_type(column, by_set) for column, by_set in types.items()}
    same = [_cast(table, chosen) for table in tables.values()]
    return pa.concat_tables(same, promote_options="default").unify_dictionaries()


def _common_type(column: str, by_set: Mapping[str, pa.DataType]) -> pa.DataType:
    types = {value_type(dtype) for dtype in by_set.values() if not pa.types.is_null(dtype)}
    if len(types) <= 1 and len(set(by_set.values())) == 1:
        return next(iter(by_set.values()))
    if len(types) <= 1:
        return next(iter(types), pa.null())
    if all(is_text(dtype) for dtype in types):
        return pa.large_string()
    if all(is_number(dtype) or pa.types.is_boolean(dtype) for dtype in types):
        is_whole = all(pa.types.is_integer(dtype) for dtype in types)
        return pa.int64() if is_whole else pa.float64()
    told = ", ".join(f"{type_name(dtype)} in {name}" for name, dtype in by_set.items())
    raise UserError(
        f"column {column!r} is {told}: rename one of them, or read both as text, --text={column}"
    )


def _cast(table: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    for place, field in enumerate(table.schema):
        due = types[field.name]
        if field.type == due:
            continue
        column = table[place]
        if pa.types.is_boolean(value_type(field.type)) and pa.types.is_floating(due):
            column = column.cast(pa.int8())
        table = table.set_column(place, field.with_type(due), pc.cast(column, due))
    return table
