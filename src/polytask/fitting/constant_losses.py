"""What each task's loss is where nothing is known of a row: the scale by which losses can be compared."""

import math
from collections.abc import Sequence

import torch

from polytask.streams import Batch
from polytask.task import Task


def constant_losses(tasks: Sequence[Task], train: Batch) -> list[float]:
    """The mean loss of each task where the mean of its training labels is predicted for every row.

    Weighted as the rows are. 1 for a task where that is no positive number: one without a label, or whose
    loss can be negative.

    >>> from polytask.task import binary
    >>> train = Batch({"x": torch.zeros(4)}, {"click": torch.tensor([1.0, 0.0, 0.0, 0.0])})
    >>> [round(loss, 4) for loss in constant_losses([binary("click")], train)]
    [0.5623]
    """
    return [_constant_loss(task, train) for task in tasks]


@torch.no_grad()
def _constant_loss(task: Task, train: Batch) -> float:
    if task.name not in train.labels:
        return 1.0
    labels, weights_B = train.labels[task.name], train.weights.get(task.name)
    if task.per_word:
        if weights_B is not None:
            weights_B = weights_B.repeat_interleave(labels.shape[1])
        labels = labels.flatten()
    has_B = task.kind.is_labelled(labels)
    labels, weights_B = labels[has_B], None if weights_B is None else weights_B[has_B]
    if not len(labels):
        return 1.0
    kind = task.kind if labels.ndim > 1 else task.kind.starting_at(labels.double().numpy())
    bias_O = kind.initial_bias()
    losses_B = kind.loss(bias_O.expand(len(labels), len(bias_O)), labels).double()
    weights_B = torch.ones_like(losses_B) if weights_B is None else weights_B.double()
    loss = float((losses_B * weights_B).sum() / weights_B.sum())
    return loss if math.isfinite(loss) and loss > 0 else 1.0
