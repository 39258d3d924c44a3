"""Which labels and predictions a kind of task can have: what metrics check before they compute."""

import math
from dataclasses import dataclass

import numpy as np

from polytask.errors import UserError
from polytask.metrics.arrays import Floats, Integers

_SLACK_OF_SUM = 1e-2
"""Class probabilities may miss the sum 1 by this much: bfloat16 rounds by 2^-9."""

_SLACK_OF_BOUNDS = 1e-6
"""A float32 softmax may end a rounding above 1."""

UNKNOWN_CLASS = -1.0
"""The label of a class that the training rows lack: no prediction of it can be right."""


@dataclass(frozen=True, slots=True)
class Values:
    """A range of numbers; `words` name it in messages."""

    low: float = -math.inf
    high: float = math.inf
    words: str = "a number"


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """The labels (B,) and predictions (B,), or (B, C) with `columns`, of one kind of task.

    `columns` says what the columns of predictions are. `are_classes`: labels number the columns,
    from 0, and each row of predictions sums to 1. `are_events`: a label is yes, no, or between.
    """

    kind: str
    labels: Values = Values()
    predictions: Values = Values()
    columns: str | None = None
    are_classes: bool = False
    are_events: bool = False

    def check_shape(self, shape: tuple[int, ...], num_rows: int) -> None:
        if self.columns is not None:
            if len(shape) != 2 or shape[0] != num_rows or shape[1] < 1 + self.are_classes:
                raise UserError(
                    f"{self.kind} predictions must be {self.columns} of shape (B, C) with B = "
                    f"{num_rows} as the labels and C at least {1 + self.are_classes}, but the "
                    f"shape is {shape}"
                )
        elif shape != (num_rows,):
            raise UserError(
                f"{self.kind} predictions must be of shape ({num_rows},) as the labels, but it is "
                f"{shape}"
            )

    def check_labels(self, label_B: Floats, *, num_columns: int) -> None:
        if not np.isfinite(label_B).all():
            num_infinite = int(np.isinf(label_B).sum())
            raise UserError(f"{num_infinite} labels are infinite; missing ones are NaN")
        is_wrong_B = (label_B < self.labels.low) | (label_B > self.labels.high)
        words = self.labels.words
        if self.are_classes:
            is_wrong_B = (label_B < 0) | (label_B >= num_columns) | (label_B != np.floor(label_B))
            is_wrong_B &= label_B != UNKNOWN_CLASS
            words = f"a whole number from 0 to {num_columns - 1}"
        if is_wrong_B.any():
            example = label_B[np.argmax(is_wrong_B)]
            raise UserError(
                f"a {self.kind} label must be {words}, or NaN if unknown, but one is {example:g}"
            )

    def check_predictions(self, kept: Floats, row_of_kept: Integers) -> None:
        is_finite = np.isfinite(kept)
        is_bad_B = ~(is_finite.all(axis=1) if kept.ndim == 2 else is_finite)
        if is_bad_B.any():
            raise UserError(
                f"{int(is_bad_B.sum())} of {len(kept)} predictions are not finite, "
                f"the first in row {row_of_kept[np.argmax(is_bad_B)]}"
            )
        if not len(kept):
            return
        low, high = float(kept.min()), float(kept.max())
        bounds = self.predictions
        if low < bounds.low - _SLACK_OF_BOUNDS or high > bounds.high + _SLACK_OF_BOUNDS:
            raise UserError(
                f"{self.kind} predictions must be {bounds.words}, but they run from {low:g} to "
                f"{high:g}"
            )
        error = float(np.abs(kept.sum(axis=1) - 1).max()) if self.are_classes else 0.0
        if error > _SLACK_OF_SUM:
            raise UserError(
                f"class probabilities must sum to 1 in each row, but one is off by {error:g}"
            )
