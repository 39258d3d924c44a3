"""Predictions and labels -> the figures of metrics.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from polytask.data.examples import Examples
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
    predictions: Predictions,
    *,
    examples: Examples,
    intervals: bool = True,
    notes: Mapping[str, str] | None = None,
) -> dict[str, TaskScore]:
    """Every goal's metrics on the examples; auxiliary tasks are left out. `notes` are by task."""
    scores = {}
    positions = {task.name: t for t, task in enumerate(tasks)}
    for t, task in enumerate(tasks):
        if task.auxiliary:
            continue
        rows = task_rows(task, predictions.values[t], examples=examples, position=t)
        conditional = None
        if task.given is not None:
            parent_B = examples.labels_BT[:, positions[task.given]].numpy()
            labels = np.where(parent_B == 1, rows.labels, np.nan)
            conditional = evaluate(
                task.kind,
                predictions.conditional[t],
                labels,
                weights=rows.weights,
                groups=rows.groups,
                intervals=intervals,
            )
        metrics = evaluate(
            task.kind,
            rows.predictions,
            rows.labels,
            weights=rows.weights,
            groups=rows.groups,
            intervals=intervals,
        )
        if notes is not None and task.name in notes:
            metrics = replace(metrics, notes=(*metrics.notes, notes[task.name]))
        scores[task.name] = TaskScore(metrics, conditional)
    return scores


def gain_over(task: Task, ours: Rows, theirs: Rows) -> tuple[Gain, ...]:
    """What our predictions are better by, on the same rows."""
    return compare(
        task.kind,
        ours.predictions,
        theirs.predictions,
        ours.labels,
        weights=ours.weights,
        groups=ours.groups,
    )


def task_rows(
    task: Task,
    values: np.ndarray,
    *,
    examples: Examples,
    position: int,
) -> Rows:
    """A task's column of the examples beside its predictions."""
    weights_BT = examples.weights_BT
    labels = examples.labels_BT[:, position].numpy()
    return Rows(
        predictions=values,
        labels=task.kind.decode(labels),
        weights=None if weights_BT is None else weights_BT[:, position].numpy(),
        groups=None if examples.group_B is None else examples.group_B.numpy(),
    )
