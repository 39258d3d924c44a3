"""What early stopping watches: a weighted sum of validation metrics, each in its better direction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polytask.errors import UserError
from polytask.metrics import Definition
from polytask.task import Task


@dataclass(frozen=True, slots=True)
class Term:
    """`weight` times one metric of one task; `rises` if more of the metric is better."""

    task: str
    metric: str
    weight: float = 1.0
    rises: bool = True

    @classmethod
    def of(cls, task: str, definition: Definition, weight: float = 1.0) -> "Term":
        """The term of a metric; UserError where it has no better direction."""
        if definition.higher_is_better is None:
            raise UserError(
                f"{definition.name!r} has no better direction, so it cannot be monitored; "
                "choose one that rises or falls, such as auc or log_loss"
            )
        return cls(task, definition.name, weight, definition.higher_is_better)


@dataclass(frozen=True, slots=True)
class Monitor:
    """The score of a validation: higher is better, metrics that fall are subtracted."""

    terms: tuple[Term, ...]

    @classmethod
    def default(cls, tasks: Sequence[Task]) -> "Monitor":
        """The mean over the goals of each kind's main metric: all free of the label's scale."""
        goals = [task for task in tasks if not task.auxiliary] or list(tasks)
        terms = ((t.name, t.kind.metric(t.kind.main_metric)) for t in goals)
        return cls(tuple(Term.of(name, metric, 1 / len(goals)) for name, metric in terms))

    def score(self, values: Mapping[tuple[str, str], float]) -> float:
        """The weighted sum of `values` by (task, metric); a metric that is undefined counts 0."""
        total = 0.0
        for term in self.terms:
            value = values[term.task, term.metric]
            direction = 1.0 if term.rises else -1.0
            total += direction * term.weight * (0.0 if value != value else value)
        return total
