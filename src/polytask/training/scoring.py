"""What a task is scored on: validation in training and the report read the same numbers."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from polytask.errors import UserError, nearest
from polytask.metrics import Definition, Draws, LabelSpace, compare, evaluate, quick_metric
from polytask.model.words import at_words, row_of_words
from polytask.records import Evaluation, Gain
from polytask.streams import Batch
from polytask.task import Task

Array: TypeAlias = NDArray[np.floating]


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
        cls, task: Task, predictions: Array, batch: Batch, num_words: Tensor | None = None
    ) -> "TaskRows":
        """The task's predictions beside its labels in the batch.

        With `num_words` (B,) both are of words, whose group is their row unless the batch has groups:
        words of one row are not independent.
        """
        if task.name not in batch.labels:
            raise UserError(f"task {task.name!r} has no labels{nearest(task.name, batch.labels)}")
        labels, weights, groups = (
            batch.labels[task.name],
            batch.weights.get(task.name),
            batch.groups,
        )
        if num_words is not None:
            rows_W = row_of_words(num_words)
            labels = at_words(labels.cpu(), num_words)
            weights = None if weights is None else weights[rows_W]
            groups = rows_W if groups is None else groups[rows_W]
        decoded = task.kind.decode(labels.cpu().numpy())
        return cls(task, predictions, decoded, _array(weights), _array(groups))

    def metric(self, name: str) -> float:
        """One metric without its interval; NaN where these rows do not define it."""
        kind = self.task.kind
        return quick_metric(
            name, kind, self.predictions, self.labels, self.groups, weights=self.weights
        )

    def evaluate(self, *, intervals: bool = True, draws: Draws | None = None) -> Evaluation:
        """All metrics of the task's kind; tasks on the same rows may share what is drawn."""
        return evaluate(
            self.task.kind,
            self.predictions,
            self.labels,
            weights=self.weights,
            groups=self.groups,
            intervals=intervals,
            draws=draws,
        )

    def gain_over(self, theirs: "TaskRows", *, draws: Draws | None = None) -> tuple[Gain, ...]:
        """The gain of these predictions over those of another model for the same rows."""
        return compare(
            self.task.kind,
            self.predictions,
            theirs.predictions,
            self.labels,
            weights=self.weights,
            groups=self.groups,
            draws=draws,
        )

    def main_gain_over(self, theirs: "TaskRows") -> Gain | None:
        """The gain in the task's main metric alone; None where these rows do not define it."""
        gains = compare(
            _MainMetric(self.task),
            self.predictions,
            theirs.predictions,
            self.labels,
            weights=self.weights,
            groups=self.groups,
        )
        return gains[0] if gains else None


@dataclass(frozen=True, slots=True)
class _MainMetric:
    """A kind of which only the main metric is asked: resampling the others would take minutes."""

    task: Task

    @property
    def space(self) -> LabelSpace:
        return self.task.kind.space

    @property
    def metrics(self) -> tuple[Definition, ...]:
        return (self.task.kind.metric(self.task.kind.main_metric),)


def _array(tensor: Tensor | None) -> NDArray[Any] | None:
    return None if tensor is None else tensor.cpu().numpy()
