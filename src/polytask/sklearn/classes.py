"""Which kinds have classes, and the probabilities of those."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.kinds import Kind
from polytask.sklearn.columns import as_numbers
from polytask.task import Task


def has_classes(kind: Kind) -> bool:
    return kind.space.are_classes or kind.space.are_events


def class_probabilities(predicted: pa.Table, task: Task, num_classes: int) -> NDArray[np.float64]:
    """(n, C) from the columns of `Run.predict`: that of yes, or one a class."""
    if task.kind.space.are_events:
        yes = as_numbers(predicted[task.name])
        return np.column_stack([1 - yes, yes])
    names = [f"{task.name}_p_{c}" for c in range(num_classes)]
    return np.column_stack([as_numbers(predicted[name]) for name in names])
