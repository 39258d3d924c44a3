"""What early stopping watches: a weighted sum of validation metrics, each in its better direction."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polytask.errors import UserError
from polytask.task import Task


@dataclass(frozen=True, slots=True)
class Term:
    """`weight` times one metric of one task."""

    task: str
    metric: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Monitor:
    """The score of a validation: higher is better, metrics that fall are subtracted.

    >>> from polytask.task import binary, regression
    >>> tasks = [binary("click"), regression("watch")]
    >>> monitor = Monitor((Term("click", "auc"), Term("watch", "rmse", weight=0.1)))
    >>> round(monitor.score({"click": {"auc": 0.75}, "watch": {"rmse": 2.0}}, tasks), 3)
    0.55
    """

    terms: tuple[Term, ...]

    @classmethod
    def default(cls, tasks: Sequence[Task]) -> "Monitor":
        """The mean over the goals of each kind's main metric: all free of the label's scale."""
        goals = [task for task in tasks if not task.auxiliary] or list(tasks)
        return cls(tuple(Term(t.name, t.kind.main_metric, 1 / len(goals)) for t in goals))

    def score(self, values: Mapping[str, Mapping[str, float]], tasks: Sequence[Task]) -> float:
        """The weighted sum of `values` by task and metric; NaN where none of them is defined.

        A metric that is undefined is left out, and the others weigh as much as all did.
        """
        kinds = {task.name: task.kind for task in tasks}
        total, defined = 0.0, 0.0
        for term in self.terms:
            value = values[term.task][term.metric]
            if math.isnan(value):
                continue
            is_higher = kinds[term.task].metric(term.metric).direction == "higher"
            total += (1.0 if is_higher else -1.0) * term.weight * value
            defined += abs(term.weight)
        everything = sum(abs(term.weight) for term in self.terms)
        if defined == everything:
            return total
        return total * everything / defined if defined > 0 else math.nan

    def check(self, tasks: Sequence[Task]) -> None:
        """Raise UserError where a term names no task, or a metric without a better direction."""
        kinds = {task.name: task.kind for task in tasks}
        for term in self.terms:
            if term.task not in kinds:
                raise UserError(
                    f"the monitor names task {term.task!r}, but the tasks are {[*kinds]}"
                )
            if kinds[term.task].metric(term.metric).direction == "to 1":
                raise UserError(
                    f"{term.metric!r} has no better direction, so it cannot be monitored; "
                    "choose one that rises or falls, such as auc or log_loss"
                )
