"""Predictions and labels -> the figures of metrics.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from polytask.data.targets import TargetEncoder
from polytask.metrics import TaskMetrics
from polytask.streams import Batch
from polytask.task import Task
from polytask.training.evaluation import Predictions
from polytask.training.scoring import TaskRows

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


def rows_by_task(
    tasks: Sequence[Task], targets: TargetEncoder, predictions: Predictions, table: Batch
) -> dict[str, TaskRows]:
    """What every goal is scored on; auxiliary tasks are left out."""
    return {
        task.name: TaskRows.of(task, predictions.values[task.name], table, decode=targets.decode)
        for task in tasks
        if not task.auxiliary
    }


def score_tasks(
    rows: Mapping[str, TaskRows], predictions: Predictions, table: Batch, *, intervals: bool = True
) -> dict[str, TaskScore]:
    """Every goal's metrics on its rows."""
    return {
        name: TaskScore(
            task_rows.evaluate(intervals=intervals),
            _conditional(task_rows, predictions, table, intervals=intervals),
        )
        for name, task_rows in rows.items()
    }


def _conditional(
    rows: TaskRows, predictions: Predictions, table: Batch, *, intervals: bool
) -> TaskMetrics | None:
    """Of p(task | parent), where the parent is yes."""
    name, parent = rows.task.name, rows.task.given
    if parent is None:
        return None
    is_yes_B = table.labels[parent].numpy() == 1
    labels = np.where(is_yes_B, rows.labels, np.nan)
    values = predictions.conditional[name]
    return replace(rows, predictions=values, labels=labels).evaluate(intervals=intervals)
