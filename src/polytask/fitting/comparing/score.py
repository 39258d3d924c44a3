"""Predictions and labels -> each task's evaluation, and the gain of one model over another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from polytask.data.examples import Examples
from polytask.data.targets import TargetEncoder
from polytask.metrics import KindName, compare, evaluate
from polytask.records import Evaluation, Gain
from polytask.task import Task
from polytask.training.evaluation import Predictions


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRows:
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
) -> dict[str, Evaluation]:
    """Every goal's evaluation on the examples; auxiliary tasks are left out.

    A task given another has that of p(task | parent) too, on the rows where the parent is yes.
    """
    found = {}
    positions = {task.name: t for t, task in enumerate(tasks)}
    for t, task in enumerate(tasks):
        if task.auxiliary:
            continue
        rows = task_rows(task, targets, predictions.values[t], examples=examples, position=t)
        evaluation = _evaluate(task.kind.name, rows, intervals=intervals)
        if task.given is not None:
            parent_B = examples.labels_BT[:, positions[task.given]].numpy()
            labels = np.where(parent_B == 1, rows.labels, np.nan)
            rows = replace(rows, predictions=predictions.conditional[t], labels=labels)
            conditional = _evaluate("binary", rows, intervals=intervals)
            evaluation = replace(evaluation, conditional=conditional)
        found[task.name] = evaluation
    return found


def gain_over(task: Task, ours: ScoredRows, theirs: ScoredRows) -> tuple[Gain, ...]:
    """How much better our predictions are, on the same rows."""
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
) -> ScoredRows:
    """A task's column of the examples beside its predictions."""
    weights_BT = examples.weights_BT
    labels = examples.labels_BT[:, position].numpy()
    return ScoredRows(
        predictions=_own_unit(task, targets, values),
        labels=_own_unit(task, targets, labels),
        weights=None if weights_BT is None else weights_BT[:, position].numpy(),
        groups=None if examples.group_B is None else examples.group_B.numpy(),
    )


def _evaluate(kind: KindName, rows: ScoredRows, *, intervals: bool) -> Evaluation:
    return evaluate(
        kind,
        rows.predictions,
        rows.labels,
        weights=rows.weights,
        groups=rows.groups,
        intervals=intervals,
    )


def _own_unit(task: Task, targets: TargetEncoder, values: np.ndarray) -> np.ndarray:
    return targets.decode(task.name, values) if task.kind.name == "regression" else values
