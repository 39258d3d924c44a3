"""--auxiliary and --pretrain: extra losses made of the training rows, and what is trained on first."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from polytask.auxiliary import AUXILIARIES, Auxiliary, TrainingRows
from polytask.config import FitConfig, TaskConfig, parse_task
from polytask.config.build import build_auxiliaries
from polytask.errors import UserError, flag, nearest
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
                f"{flag('auxiliary', text)}: no extra loss{nearest(text, AUXILIARIES)} and no column"
                f"{nearest(task.column, columns)}; the losses are {', '.join(AUXILIARIES)}"
            )
        tasks.append(task.model_copy(update={"auxiliary": True}))
    return config.model_copy(update={"tasks": tuple(tasks), "auxiliary": tuple(specs)})


def fit_auxiliaries(
    config: FitConfig, rows: TrainingRows, *, forbidden: Collection[str]
) -> tuple[Auxiliary, ...]:
    """The extra losses, of the training rows. `forbidden` columns are labels, or follow from them.

    UserErrors: what a loss refuses, a name that stands twice, a pre-training of what there is not.
    """
    made = tuple(make(rows) for make in build_auxiliaries(config))
    for auxiliary in made:
        for column in auxiliary.table_columns:
            if column in forbidden:
                raise UserError(
                    f"{flag('auxiliary', auxiliary.name)}: {column!r} is the label of a task, or follows from "
                    "one: an extra loss on it would give the label away"
                )
    tasks = [task.name for task in config.tasks if isinstance(task, TaskConfig)]
    names = [*tasks, *(auxiliary.name for auxiliary in made)]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two tasks or extra losses are named {name!r}")
    _check_pretraining(config, names)
    return made


def _check_pretraining(config: FitConfig, names: Sequence[str]) -> None:
    for name in config.pretrain:
        if name not in names:
            raise UserError(f"--pretrain: no task and no extra loss {name!r}{nearest(name, names)}")
    if config.pretrain_epochs is not None and not config.pretrain:
        raise UserError("--pretrain-epochs needs --pretrain: what is trained on first")


def with_labels_of(train: Batch, auxiliaries: Sequence[Auxiliary], rows: TrainingRows) -> Batch:
    """The training rows, with labels that extra losses take from the table."""
    made = {name: label for each in auxiliaries for name, label in each.labels(rows).items()}
    return replace(train, labels={**train.labels, **made}) if made else train
