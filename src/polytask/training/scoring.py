"""What a task is scored on: validation in training and the report read the same numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from polytask.errors import UserError, nearest
from polytask.metrics import compare, evaluate, quick_metric
from polytask.records import Evaluation, Gain
from polytask.streams import Batch
from polytask.task import Task

Array: TypeAlias = NDArray[np.floating]
Decode: TypeAlias = Callable[[str, Array], Array]
"""A task's name, and its predictions or labels as the model has them -> in the label's own unit."""


def as_they_are(task: str, values: Array) -> Array:
    """The decoder of tasks whose labels are in their own unit already."""
    return values


@dataclass(frozen=True, slots=True, eq=False)
class TaskRows:
    """One task's predictions and labels in the label's own unit, with row weights and groups.

    >>> import torch
    >>> from polytask.task import binary
    >>> batch = Batch({"x": torch.zeros(3)}, {"click": torch.tensor([0.0, 1.0, 1.0])})
    >>> TaskRows.of(binary("click"), np.array([0.2, 0.1, 0.9]), batch).metric("auc")
    0.5
    """

    task: Task
    predictions: Array
    labels: Array
    weights: Array | None
    groups: NDArray[np.integer] | None

    @classmethod
    def of(
        cls, task: Task, predictions: Array, batch: Batch, *, decode: Decode = as_they_are
    ) -> "TaskRows":
        """The task's predictions beside its labels in the batch."""
        if task.name not in batch.labels:
            raise UserError(f"task {task.name!r} has no labels{nearest(task.name, batch.labels)}")
        return cls(
            task,
            decode(task.name, predictions),
            decode(task.name, batch.labels[task.name].cpu().numpy()),
            _array(batch.weights.get(task.name)),
            _array(batch.groups),
        )

    def metric(self, name: str) -> float:
        """One metric without its interval; NaN where these rows do not define it."""
        kind = self.task.kind.name
        return quick_metric(
            name, kind, self.predictions, self.labels, self.groups, weights=self.weights
        )

    def evaluate(self, *, intervals: bool = True) -> Evaluation:
        """All metrics of the task's kind."""
        return evaluate(
            self.task.kind.name,
            self.predictions,
            self.labels,
            weights=self.weights,
            groups=self.groups,
            intervals=intervals,
        )

    def gain_over(self, theirs: "TaskRows") -> tuple[Gain, ...]:
        """The gain of these predictions over those of another model for the same rows."""
        return compare(
            self.task.kind.name,
            self.predictions,
            theirs.predictions,
            self.labels,
            weights=self.weights,
            groups=self.groups,
        )


def _array(tensor: Tensor | None) -> NDArray[Any] | None:
    return None if tensor is None else tensor.cpu().numpy()
