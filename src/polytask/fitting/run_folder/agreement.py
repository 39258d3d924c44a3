"""Whether run.yaml and encoder.json speak of the same tasks: names, columns, kinds, relations."""

from collections.abc import Iterator
from pathlib import Path

from polytask.config import FitConfig, TaskConfig
from polytask.data.labels import LabelEncoder
from polytask.errors import UserError
from polytask.task import Task


def check_agreement(config: FitConfig, targets: LabelEncoder, *, where: Path) -> None:
    """UserError with the first thing that the two files tell apart, else predictions of one task would
    stand under the name of another."""
    described = [task.name if isinstance(task, TaskConfig) else str(task) for task in config.tasks]
    names = [task.name for task in targets.tasks]
    if described != names:
        raise UserError(
            f"{where}: the tasks are {', '.join(described) or 'none'} in run.yaml, but "
            f"{', '.join(names)} in encoder.json: one of the two files is another run's"
        )
    for task, fitted in zip(config.tasks, targets.tasks):
        for what, here, there in _pairs(config, task, fitted):
            if here != there:
                raise UserError(
                    f"{where}: task {fitted.name!r} has the {what} {here} in run.yaml, but {there} "
                    "in encoder.json: one of the two files was changed, or is another run's"
                )


def _pairs(
    config: FitConfig, task: TaskConfig | str, fitted: Task
) -> Iterator[tuple[str, object, object]]:
    """What is compared, in run.yaml and in encoder.json."""
    assert isinstance(task, TaskConfig)
    yield "column", task.column, fitted.column
    if task.kind is not None:
        yield "kind", task.kind.name, fitted.kind.name
        # Options that were left open are filled by the training rows, such as classes.
        theirs = fitted.kind.options()
        for name, value in task.kind.options().items():
            yield f"option {name}", value, theirs.get(name)
    given = config.given.get(task.name, task.given)
    # A relation with too many conflicts may have been cut.
    if config.given_conflict != "ignore-relation" or fitted.given is not None:
        yield "parent (given)", given, fitted.given
    yield "part auxiliary", task.auxiliary, fitted.auxiliary
