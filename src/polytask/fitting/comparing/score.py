"""Predictions and labels -> each task's evaluation, and the gain of one model over another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from polytask.metrics import Draws
from polytask.records import Evaluation
from polytask.streams import Batch
from polytask.task import Task
from polytask.training.evaluation import Predictions
from polytask.training.scoring import TaskRows


def rows_by_task(
    tasks: Sequence[Task], predictions: Predictions, table: Batch
) -> dict[str, TaskRows]:
    """What every goal is scored on; auxiliary tasks are left out."""
    return {
        task.name: TaskRows.of(task, predictions.values[task.name], table, predictions.num_words)
        for task in tasks
        if not task.auxiliary
    }


def score_tasks(
    rows: Mapping[str, TaskRows],
    predictions: Predictions,
    table: Batch,
    *,
    intervals: bool = True,
    notes: Mapping[str, str] | None = None,
    draws: Draws | None = None,
) -> dict[str, Evaluation]:
    """Every goal's evaluation on its rows; `notes` are by task, `draws` those of other models on the same rows.

    A task given another has that of p(task | parent) too, on the rows where the parent is yes.
    """
    draws, found = draws or Draws(), {}
    for name, task_rows in rows.items():
        given = conditional_rows(task_rows, predictions, table)
        conditional = None if given is None else given.evaluate(intervals=intervals)
        evaluation = task_rows.evaluate(intervals=intervals, draws=draws)
        found[name] = noted(evaluation, note=(notes or {}).get(name), conditional=conditional)
    return found


def noted(
    evaluation: Evaluation, *, note: str | None, conditional: Evaluation | None
) -> Evaluation:
    """With what else is to be said of a task."""
    notes = evaluation.notes if note is None else (*evaluation.notes, note)
    return replace(evaluation, notes=notes, conditional=conditional)


def conditional_rows(rows: TaskRows, predictions: Predictions, table: Batch) -> TaskRows | None:
    """p(task | parent) of a task given another, with labels where the parent is yes."""
    name, parent = rows.task.name, rows.task.given
    if parent is None:
        return None
    is_yes_B = table.labels[parent].numpy() == 1
    labels = np.where(is_yes_B, rows.labels, np.nan)
    return replace(rows, predictions=predictions.conditional[name], labels=labels)
