"""By which metric a task is compared."""

from collections.abc import Sequence

from polytask.config.build import build_monitor
from polytask.metrics import Definition
from polytask.task import Task


def judged_by(monitor: str | None, tasks: Sequence[Task]) -> dict[str, Definition]:
    """The goals' metrics: what the monitor names first for a task, else its kind's main one.

    >>> from polytask.task import binary, regression
    >>> found = judged_by("watch.xauc", [binary("click"), regression("watch")])
    >>> {name: metric.name for name, metric in found.items()}
    {'click': 'auc', 'watch': 'xauc'}
    """
    goals = [task for task in tasks if not task.auxiliary]
    named: dict[str, str] = {}
    for term in build_monitor(monitor, goals).terms if monitor is not None else ():
        named.setdefault(term.task, term.metric)
    return {
        task.name: task.kind.metric(named.get(task.name, task.kind.main_metric)) for task in goals
    }
