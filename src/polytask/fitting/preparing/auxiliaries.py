"""--auxiliary and --pretrain: extra losses made of the training rows, and what is trained on first."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from polytask.auxiliary import AUXILIARIES, Auxiliary, TrainingRows
from polytask.config import FitConfig, TaskConfig, parse_task
from polytask.config.build import build_auxiliaries
from polytask.config.checking import name_and_options
from polytask.errors import UserError, flag, nearest, nearest_of_all
from polytask.streams import Batch


def with_auxiliary_tasks(config: FitConfig, columns: Collection[str]) -> FitConfig:
    """What --auxiliary names that is no extra loss becomes an auxiliary task: [NAME=]COLUMN[:KIND]."""
    specs = [spec for spec in config.auxiliary if not isinstance(spec, str) or spec in AUXILIARIES]
    tasks = list(config.tasks)
    for text in config.auxiliary:
        if text in specs or not isinstance(text, str):
            continue
        task = parse_task(text, columns)
        if task.column not in columns:
            raise UserError(
                f"{flag('auxiliary', text)}: no column{nearest(task.column, columns)} and no extra loss"
                f"{nearest_of_all(text, AUXILIARIES)}"
            )
        tasks.append(task.model_copy(update={"auxiliary": True}))
    return config.model_copy(update={"tasks": tuple(tasks), "auxiliary": tuple(specs)})


def fit_auxiliaries(
    config: FitConfig, rows: TrainingRows, *, forbidden: Collection[str]
) -> tuple[Auxiliary, ...]:
    """The extra losses, of the training rows. `forbidden` columns are labels, or follow from them.

    UserErrors: what a loss refuses, a name that stands twice, a pre-training of what there is not.
    """
    makers = build_auxiliaries(config)
    _check_columns(config, rows.table.column_names, forbidden)
    _check_tasks(config)
    made = tuple(make(rows) for make in makers)
    tasks = [task.name for task in config.tasks if isinstance(task, TaskConfig)]
    names = [*tasks, *(auxiliary.name for auxiliary in made)]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two tasks or extra losses are named {name!r}")
    _check_pretraining(config, names)
    has_words = rows.inputs.num_words(rows.encoded) is not None
    for each in made:
        if has_words and not each.suits_words:
            able = ", ".join(name for name, kind in AUXILIARIES.items() if kind.suits_words)
            raise UserError(
                f"{flag('auxiliary', each.name)} reads a vector a row, but this model has one a word; "
                f"of words there are auxiliary tasks, and {able}"
            )
    return made


def _check_columns(config: FitConfig, known: Sequence[str], forbidden: Collection[str]) -> None:
    """UserError for a named column that would give a label away, or that training rows lack."""
    for spec in config.auxiliary:
        name, options = name_and_options(spec, "auxiliary")
        named = options.get("columns", options.get("column", ()))
        for column in [named] if isinstance(named, str) else named:  # type: ignore[attr-defined]
            if column in forbidden:
                raise UserError(
                    f"{flag('auxiliary', name)}: {column!r} is the label of a task, or follows from "
                    "one: an extra loss on it would give the label away"
                )
            if column and column not in known:
                raise UserError(
                    f"{flag('auxiliary', name)}: the training rows have no column {column!r}"
                    f"{nearest(column, known)}; extra losses are made of training rows alone"
                )


def _check_tasks(config: FitConfig) -> None:
    """UserError for an auxiliary task that is a goal once more."""
    tasks = [task for task in config.tasks if isinstance(task, TaskConfig)]
    goals = {(task.column, _kind_name(task)): task.name for task in tasks if not task.auxiliary}
    for task in tasks:
        goal = goals.get((task.column, _kind_name(task)))
        if task.auxiliary and goal is not None:
            raise UserError(
                f"{flag('auxiliary', task.name)}: {task.column!r} is the label of the goal {goal!r} "
                "already: an auxiliary task is another label"
            )


def _kind_name(task: TaskConfig) -> str:
    return "" if task.kind is None else task.kind.name


def _check_pretraining(config: FitConfig, names: Sequence[str]) -> None:
    for name in config.pretrain:
        if name not in names:
            raise UserError(f"--pretrain: no task and no extra loss {name!r}{nearest(name, names)}")
    for option in ("pretrain_epochs", "pretrain_rate"):
        if getattr(config, option) is not None and not config.pretrain:
            name = option.replace("_", "-")
            raise UserError(f"--{name} needs --pretrain: what is trained on first")


def with_labels_of(train: Batch, auxiliaries: Sequence[Auxiliary], rows: TrainingRows) -> Batch:
    """The training rows, with labels that extra losses take from the table."""
    made = {name: label for each in auxiliaries for name, label in each.labels(rows).items()}
    return replace(train, labels={**train.labels, **made}) if made else train
