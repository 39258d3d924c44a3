"""Predictions and labels -> the figures of metrics.json."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from polytask.data.examples import Examples
from polytask.data.targets import TargetEncoder
from polytask.metrics import Gain, TaskMetrics, compare, evaluate
from polytask.task import Task
from polytask.training.evaluation import Predictions

Metrics: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class TaskScore:
    """A task's metrics; for a task given another, also those of p(task | parent) where the parent
    is yes."""

    metrics: TaskMetrics
    conditional: TaskMetrics | None = None

    def to_dict(self) -> dict[str, object]:
        record: dict[str, object] = dict(self.metrics.to_dict())
        if self.conditional is not None:
            for key, value in self.conditional.to_dict().items():
                record[f"conditional_{key}"] = value
        return record


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One task's predictions, labels, weights and groups, in the label's own unit."""

    predictions: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None
    groups: np.ndarray | None


def score_examples(
    tasks: Sequence[Task],
    targets: TargetEncoder,
    predictions: Predictions,
    *,
    examples: Examples,
    intervals: bool = True,
) -> dict[str, TaskScore]:
    """Every goal's metrics on the examples; auxiliary tasks are left out."""
    scores = {}
    positions = {task.name: t for t, task in enumerate(tasks)}
    for t, task in enumerate(tasks):
        if task.auxiliary:
            continue
        rows = task_rows(task, targets, predictions.values[t], examples=examples, position=t)
        conditional = None
        if task.given is not None:
            parent_B = examples.labels_BT[:, positions[task.given]].numpy()
            labels = np.where(parent_B == 1, rows.labels, np.nan)
            conditional = evaluate(
                "binary",
                predictions.conditional[t],
                labels,
                weights=rows.weights,
                groups=rows.groups,
                intervals=intervals,
            )
        metrics = evaluate(
            task.kind.name,
            rows.predictions,
            rows.labels,
            weights=rows.weights,
            groups=rows.groups,
            intervals=intervals,
        )
        scores[task.name] = TaskScore(metrics, conditional)
    return scores


def gain_over(task: Task, ours: Rows, theirs: Rows) -> tuple[Gain, ...]:
    """What our predictions are better by, on the same rows."""
    return compare(
        task.kind.name,
        ours.predictions,
        theirs.predictions,
        ours.labels,
        weights=ours.weights,
        groups=ours.groups,
    )


def task_rows(
    task: Task,
    targets: TargetEncoder,
    values: np.ndarray,
    *,
    examples: Examples,
    position: int,
) -> Rows:
    """A task's column of the examples beside its predictions."""
    weights_BT = examples.weights_BT
    labels = examples.labels_BT[:, position].numpy()
    return Rows(
        predictions=_own_unit(task, targets, values),
        labels=_own_unit(task, targets, labels),
        weights=None if weights_BT is None else weights_BT[:, position].numpy(),
        groups=None if examples.group_B is None else examples.group_B.numpy(),
    )


def _own_unit(task: Task, targets: TargetEncoder, values: np.ndarray) -> np.ndarray:
    return targets.decode(task.name, values) if task.kind.name == "regression" else values
