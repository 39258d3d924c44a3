"""A table and a configuration -> batches of rows: everything that happens before the first step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from polytask.config import FitConfig, TaskConfig, parse_task
from polytask.data.derive import Derivation, parse_derivation
from polytask.data.encoder import TableEncoder
from polytask.data.leaks import find_leaks
from polytask.data.readers import TableSource, read_table, require_columns
from polytask.data.schema import Schema, infer_schema
from polytask.data.targets import LabelCount, Target, TargetEncoder, infer_kind
from polytask.errors import UserError, nearest
from polytask.fitting.preparing.encoding import (
    apply_derivations,
    derived_from,
    encode_examples,
    made_from,
    read_options,
)
from polytask.fitting.preparing.splitting import Parts, split_table
from polytask.records import Leak
from polytask.streams import Batch
from polytask.task import Task, binary, count, multiclass, regression


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Rows for training, validation and test, and how they came about.

    `config` is complete: tasks have their kinds, whether asked for or inferred (`kind_reasons`).
    """

    config: FitConfig
    schema: Schema
    columns: TableEncoder
    targets: TargetEncoder
    tasks: tuple[Task, ...]
    train: Batch
    valid: Batch | None
    test: Batch | None
    kind_reasons: tuple[str, ...]
    label_counts: tuple[LabelCount, ...]
    leaks: tuple[Leak, ...]


def prepare(
    config: FitConfig,
    table: TableSource | None = None,
    *,
    parts: Mapping[str, TableSource] | None = None,
) -> Prepared:
    """Read, derive, split, and fit the encoders on the training rows.

    `parts` may hold tables for "valid" and "test" in the place of files that the options name.

    Raises UserError for everything that can be wrong with the table, the tasks or the options.
    """
    source = table if table is not None else config.table
    if source is None:
        raise UserError("there is no table: name one, such as `polytask fit log.parquet`")
    derivations = [parse_derivation(text) for text in config.derive]
    whole = apply_derivations(read_table(source, options=read_options(config)), derivations)
    config, kind_reasons = resolve_tasks(config, whole)
    targets = make_targets(config)
    _check_columns(config, whole)
    split = split_table(config, whole, derivations=derivations, named=parts or {})
    del whole
    train = split.train
    schema = _schema(config, train, derivations)
    if not (schema.numeric or schema.categorical):
        reasons = "; ".join(f"{column.name}: {column.reason}" for column in schema.columns[:8])
        raise UserError(f"no column is left as an input ({reasons}); name some with --inputs")
    fitted = TargetEncoder.fit(train, targets, given_conflict=config.given_conflict)
    labels_BT = fitted.encode(train)
    leaks = find_leaks(train, schema, labels_BT, fitted.targets)
    _stop_at_leaks(leaks, config.allow)
    columns = TableEncoder.fit(
        train,
        schema,
        min_count=config.min_count,
        numeric_encoding=config.numeric_encoding,
        num_bins=config.num_bins,
    )
    counts = fitted.count_labels(train)
    tasks = make_tasks(config, fitted)
    examples = _encode_parts(config, split, columns, fitted)
    return Prepared(
        config, schema, columns, fitted, tasks, *examples, kind_reasons, counts, tuple(leaks)
    )


def inspect_table(config: FitConfig, table: TableSource | None = None) -> tuple[pa.Table, Schema]:
    """The table with derived columns, and what `fit` would make of each column."""
    source = table if table is not None else config.table
    if source is None:
        raise UserError("there is no table to inspect")
    derivations = [parse_derivation(text) for text in config.derive]
    whole = apply_derivations(read_table(source, options=read_options(config)), derivations)
    if config.tasks:
        config, _ = resolve_tasks(config, whole)
    _check_columns(config, whole)
    return whole, _schema(config, whole, derivations)


def resolve_tasks(config: FitConfig, table: pa.Table) -> tuple[FitConfig, tuple[str, ...]]:
    """The configuration with parsed tasks of known kinds, and a reason for each inferred kind."""
    if not config.tasks:
        raise UserError("there is no task: name one, such as `--task click:binary`")
    parsed = [
        parse_task(task, table.column_names) if isinstance(task, str) else task
        for task in config.tasks
    ]
    require_columns(table, [task.column for task in parsed], "the tasks")
    names = [task.name for task in parsed]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"two tasks are named {min(twice)!r}: write NAME=COLUMN to tell them apart")
    resolved, reasons = zip(*(_with_kind(task, table) for task in parsed))
    for option in ("transform", "given", "weight"):
        mapping: Mapping[str, object] = getattr(config, option)
        for name in mapping:
            if name not in names and not (option == "weight" and name == "*"):
                raise UserError(f"--{option}: unknown task {name!r}{nearest(name, names)}")
    given = {task.name: task.given for task in parsed if task.given} | dict(config.given)
    for child, parent in given.items():
        if parent not in names:
            raise UserError(f"--given {child}={parent}: no task {parent!r}{nearest(parent, names)}")
    changes = {"tasks": tuple(resolved), "given": given}
    return config.model_copy(update=changes), reasons


def make_targets(config: FitConfig) -> tuple[Target, ...]:
    """The data room's view of the tasks: which column, which condition, which scale."""
    targets = []
    for task in config.tasks:
        assert isinstance(task, TaskConfig)
        assert task.kind is not None
        transform = config.transform.get(task.name)
        if transform not in (None, "log1p"):
            raise UserError(f"--transform {task.name}={transform}: the one transform is log1p")
        if transform and task.kind != "regression":
            raise UserError(f"--transform {task.name}: log1p is for regressions, not {task.kind}")
        target = Target(task.name, task.column, task.kind, task.positive)
        if transform:
            target = replace(target, transform="log1p")
        targets.append(replace(target, given=config.given.get(task.name)))
    return tuple(targets)


def make_tasks(config: FitConfig, fitted: TargetEncoder) -> tuple[Task, ...]:
    """Tasks of the fitted targets: the number of classes is known now."""
    tasks = []
    for task, target in zip(config.tasks, fitted.targets):
        assert isinstance(task, TaskConfig)
        tasks.append(_make_task(task, target.target, num_classes=len(target.classes)))
    return tuple(tasks)


def _with_kind(task: TaskConfig, table: pa.Table) -> tuple[TaskConfig, str]:
    if task.positive is not None and task.kind is None:
        return task.model_copy(update={"kind": "binary"}), "has a YES"
    if task.kind is not None:
        return task, "as asked for"
    kind, reason = infer_kind(table[task.column])
    return task.model_copy(update={"kind": kind}), reason


def _make_task(task: TaskConfig, target: Target, *, num_classes: int) -> Task:
    name, column, auxiliary, noise = task.name, task.column, task.auxiliary, task.noise
    match target.kind:
        case "binary":
            if target.given is not None and noise == "learned":
                raise UserError(
                    f"task {name!r} is given {target.given!r}, so its noise cannot be learned: the "
                    "joint probability is made of one logit each; leave `noise` out"
                )
            return binary(name, column, given=target.given, auxiliary=auxiliary, noise=noise)
        case "multiclass":
            return multiclass(
                name, column, num_classes=num_classes, auxiliary=auxiliary, noise=noise
            )
        case "regression":
            return regression(name, column, unit=task.unit, auxiliary=auxiliary, noise=noise)
        case "count":
            if noise == "learned":
                raise UserError(
                    f"task {name!r} is a count, whose noise follows from its rate and cannot be "
                    "learned; leave `noise` out, or take kind: regression"
                )
            return count(name, column, unit=task.unit, auxiliary=auxiliary)


def _check_columns(config: FitConfig, table: pa.Table) -> None:
    for option in ("group", "split_by", "time_column"):
        name = getattr(config, option)
        if name is not None:
            require_columns(table, [name], f"--{option.replace('_', '-')}")
    weights = [column for column in config.weight.values() if isinstance(column, str)]
    require_columns(table, weights, "--weight")


def _schema(
    config: FitConfig,
    table: pa.Table,
    derivations: Sequence[Derivation],
) -> Schema:
    label_columns = {task.column for task in config.tasks if isinstance(task, TaskConfig)}
    weights = {column for column in config.weight.values() if isinstance(column, str)}
    time = {config.time_column} if config.time_column else set()
    extra = (weights | time) - set(config.ignore) - label_columns
    labels = derived_from(derivations, frozenset(label_columns))
    giveaways = made_from(derivations, labels | set(config.after))
    return infer_schema(
        table,
        labels=labels,
        derived={name: giveaways[name] for name in giveaways.keys() - set(config.allow)},
        inputs=config.inputs,
        ignore=(*config.ignore, *sorted(extra)),
        categorical=config.categorical,
        numeric=config.numeric,
        after=config.after,
        text=config.text,
    )


def _stop_at_leaks(leaks: Sequence[Leak], allowed: Sequence[str]) -> None:
    stops = [leak for leak in leaks if leak.stops and leak.column not in allowed]
    if not stops:
        return
    found = "; ".join(leak.finding for leak in stops)
    columns = ",".join(sorted({leak.column for leak in stops}))
    raise UserError(
        f"inputs that give the label away: {found}. If they are known only after the event, "
        f"pass --after {columns}; if they are true inputs, --allow {columns}"
    )


def _encode_parts(
    config: FitConfig, parts: Parts, columns: TableEncoder, targets: TargetEncoder
) -> tuple[Batch, Batch | None, Batch | None]:
    train = encode_examples(config, parts.train, columns, targets)
    valid, test = (
        None if part is None else encode_examples(config, part, columns, targets)
        for part in (parts.valid, parts.test)
    )
    return train, valid, test
