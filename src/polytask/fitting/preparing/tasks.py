"""Tasks as they were asked for -> tasks whose columns exist and whose kinds are known."""

from collections.abc import Mapping

import pyarrow as pa

from polytask.columns.words import is_list, words_of
from polytask.config import FitConfig, TaskConfig, parse_task
from polytask.data.readers import require_columns
from polytask.errors import UserError, flag, nearest
from polytask.kinds import Kind, infer_kind, infer_word_kind, make_kind
from polytask.kinds.columns import label_column
from polytask.task import Task


def resolve_tasks(config: FitConfig, table: pa.Table) -> FitConfig:
    """The configuration with parsed tasks, whose columns and relations exist."""
    if not config.tasks:
        raise UserError("there is no task: name one, such as --task=click:binary")
    parsed = [
        parse_task(task, table.column_names) if isinstance(task, str) else task
        for task in config.tasks
    ]
    require_columns(table, [task.column for task in parsed], "the tasks")
    names = [task.name for task in parsed]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"two tasks are named {min(twice)!r}: write NAME=COLUMN to tell them apart")
    for option in ("transform", "given", "weight"):
        mapping: Mapping[str, object] = getattr(config, option)
        for name in mapping:
            if name not in names and not (option == "weight" and name == "*"):
                raise UserError(f"--{option}: unknown task {name!r}{nearest(name, names)}")
    given = {task.name: task.given for task in parsed if task.given} | dict(config.given)
    for child, parent in given.items():
        if parent not in names:
            raise UserError(
                f"{flag('given', f'{child}={parent}')}: no task {parent!r}{nearest(parent, names)}"
            )
    return config.model_copy(update={"tasks": tuple(parsed), "given": given})


def resolve_kinds(config: FitConfig, train: pa.Table) -> tuple[FitConfig, tuple[str, ...]]:
    """The configuration with the kind of every task, and a reason for each that was inferred."""
    tasks, reasons = [], []
    for task in config.tasks:
        assert isinstance(task, TaskConfig)
        kind, reason = task.kind, "as asked for"
        if kind is None:
            what = f"task {task.name!r} (column {task.column!r})"
            kind, reason = _inferred(train[task.column], label_words(config), what)
        if task.name in config.transform:
            kind = _transformed(kind, task.name, config.transform[task.name])
        tasks.append(task.model_copy(update={"kind": kind}))
        reasons.append(reason)
    return config.model_copy(update={"tasks": tuple(tasks)}), tuple(reasons)


def _inferred(column: pa.ChunkedArray, missing: tuple[str, ...], what: str) -> tuple[Kind, str]:
    """The kind of a label a row, or of one a word."""
    if not is_list(column.type):
        return infer_kind(label_column(column, missing), what)
    return infer_word_kind(label_column(words_of(column, what).values_N, missing), what)


def make_tasks(config: FitConfig) -> tuple[Task, ...]:
    """The tasks, whose kinds are known."""
    tasks = []
    for task in config.tasks:
        assert isinstance(task, TaskConfig) and task.kind is not None
        given = config.given.get(task.name)
        try:
            tasks.append(Task(task.name, task.column, task.kind, given, task.auxiliary))
        except ValueError as error:
            raise UserError(str(error)) from error
    return tuple(tasks)


def _transformed(kind: Kind, name: str, transform: str) -> Kind:
    if "transform" not in kind.option_names():
        raise UserError(
            f"{flag('transform', name)}: log1p is for kinds that are quantities, not {kind.name}"
        )
    try:
        return make_kind({"name": kind.name, **kind.options(), "transform": transform})
    except UserError as error:
        raise UserError(f"{flag('transform', f'{name}={transform}')}: {error.message}") from error


def label_words(config: FitConfig) -> tuple[str, ...]:
    """What means: not labelled, in every label column."""
    return tuple(word for word in config.missing or () if "=" not in word)
