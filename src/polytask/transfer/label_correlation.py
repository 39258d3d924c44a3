"""How much one task's label says of another's, whatever their kinds."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from polytask.streams import Batch
from polytask.task import Task

Floats = NDArray[np.float64]


def label_correlations(tasks: Sequence[Task], batch: Batch) -> Floats:
    """(T, T): the largest canonical correlation of each pair's labels, on rows that have both.

    Of two quantities or yes/no labels that is Pearson's correlation, with its sign; of classes and a
    quantity the correlation ratio, of classes and classes the largest of all codings. NaN where fewer
    than three rows have both labels, or one of them is constant there.

    >>> from polytask.task import binary
    >>> labels = {"a": torch.tensor([0.0, 1, 1, 0]), "b": torch.tensor([1.0, 0, 0, 1])}
    >>> float(label_correlations([binary("a"), binary("b")], Batch({"x": torch.zeros(4)}, labels))[0, 1])
    -1.0
    """
    columns = [_columns(task, batch) for task in tasks]
    found_TT = np.full((len(tasks), len(tasks)), np.nan)
    for i, (one_BC, one_B) in enumerate(columns):
        for j, (other_BC, other_B) in enumerate(columns):
            both_B = one_B & other_B
            found_TT[i, j] = _correlation(one_BC[both_B], other_BC[both_B])
    return found_TT


def _columns(task: Task, batch: Batch) -> tuple[Floats, NDArray[np.bool_]]:
    """The label as columns, one a class where it is a class, and which rows have one."""
    if task.name not in batch.labels:
        return np.zeros((len(batch), 1)), np.zeros(len(batch), dtype=bool)
    labels = batch.labels[task.name]
    known_B = task.kind.is_labelled(labels).numpy()
    values = torch.where(labels.isnan(), 0, labels).double().numpy()
    if task.kind.num_classes > 2:
        one_hot_BC: Floats = np.eye(task.kind.num_classes)[values.astype(np.intp)]
        return one_hot_BC, known_B
    return values.reshape(len(values), -1), known_B


def _correlation(one_BC: Floats, other_BC: Floats) -> float:
    if len(one_BC) < 3:
        return float("nan")
    one_BC, other_BC = _whitened(one_BC), _whitened(other_BC)
    if not (one_BC.shape[1] and other_BC.shape[1]):
        return float("nan")
    shared_CC = one_BC.T @ other_BC
    if shared_CC.shape == (1, 1):
        return float(np.clip(shared_CC[0, 0], -1, 1))
    return float(np.clip(np.linalg.norm(shared_CC, 2), 0, 1))


def _whitened(values_BC: Floats) -> Floats:
    """Centred columns of length 1 that span the same; none of those that are constant."""
    centred_BC = values_BC - values_BC.mean(axis=0)
    if values_BC.shape[1] == 1:
        length = np.linalg.norm(centred_BC)
        is_constant = length <= 1e-9 * len(centred_BC) ** 0.5
        scaled_BC: Floats = centred_BC[:, :0] if is_constant else centred_BC / length
        return scaled_BC
    values_C, vectors_CC = np.linalg.eigh(centred_BC.T @ centred_BC)
    kept = values_C > 1e-9 * max(values_C.max(), 1e-300)
    whitened: Floats = centred_BC @ (vectors_CC[:, kept] / np.sqrt(values_C[kept]))
    return whitened
