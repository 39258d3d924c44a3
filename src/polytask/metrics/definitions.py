"""The metrics: what is computed, and which way is better. A kind of task lists those it is judged by."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from polytask.errors import UserError, nearest
from polytask.metrics.arrays import Booleans, Floats
from polytask.metrics.ranking import binary_pairs, ordered_pairs
from polytask.metrics.rows import Rows
from polytask.metrics.spaces import LabelSpace
from polytask.metrics.statistic import (
    OfSums,
    Projected,
    Statistic,
    presorted_auc,
    projected_share,
    ratio,
    share_within_groups,
)

UNDEFINED = OfSums(np.zeros((2, 1)), ratio)
"""A metric that these rows do not define: its value is 0 / 0."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric. `absent_if` says in words when it is not defined.

    `higher_is_better` is None where a metric is good near a value, `best`.
    """

    name: str
    higher_is_better: bool | None
    statistic: Callable[[Rows], Statistic]
    absent_if: str
    needs_groups: bool = False
    best: float = 1.0

    def advantage(self, value_a: Floats, value_b: Floats) -> Floats:
        """What a is better by than b, elementwise; see `Gain`."""
        if self.higher_is_better is None:
            return np.abs(value_b - self.best) - np.abs(value_a - self.best)
        return value_a - value_b if self.higher_is_better else value_b - value_a


class Scored(Protocol):
    """What metrics ask of a kind of task: what its labels can be, and by what it is judged."""

    @property
    def space(self) -> LabelSpace: ...
    @property
    def metrics(self) -> tuple[Definition, ...]: ...


def definitions_of(kind: Scored, *, has_groups: bool) -> tuple[Definition, ...]:
    """What is reported for a task of this kind."""
    return tuple(each for each in kind.metrics if has_groups or not each.needs_groups)


def definition_of(name: str, kind: Scored) -> Definition:
    """The metric of that name for a kind of task; UserError with the nearest name otherwise."""
    for definition in kind.metrics:
        if definition.name == name:
            return definition
    names = [definition.name for definition in kind.metrics]
    raise UserError(f"unknown metric {name!r} of a {kind.space.kind} task{nearest(name, names)}")


def as_events(rows: Rows) -> Rows:
    """Labels that are probabilities as the likelier of yes and no: what pairs of rows need."""
    return replace(rows, label_B=(rows.label_B >= 0.5).astype(np.float64))


def mixed_groups(rows: Rows) -> Booleans:
    """Whether a group holds two different labels (G,)."""
    assert rows.group_B is not None
    least_G = np.full(rows.num_groups, np.inf)
    greatest_G = np.full(rows.num_groups, -np.inf)
    np.minimum.at(least_G, rows.group_B, rows.label_B)
    np.maximum.at(greatest_G, rows.group_B, rows.label_B)
    return least_G < greatest_G


def _auc(rows: Rows) -> Statistic:
    """With groups the interval is by resampling them, without by DeLong's variance."""
    rows = as_events(rows)
    is_positive_B = rows.label_B == 1
    if not labels_differ(rows):
        return UNDEFINED
    if rows.group_B is not None:
        return presorted_auc(rows.predictions, is_positive_B, rows)
    pairs = binary_pairs(rows.predictions, is_positive_B, rows.weight_B)
    return projected_share(pairs, rows, label_class_B=is_positive_B)


def _macro_auc(rows: Rows) -> Statistic:
    """Mean over the classes present of one class versus the rest; their errors are correlated."""
    if not labels_differ(rows):
        return UNDEFINED
    parts = []
    for label in np.unique(rows.label_B[rows.label_B >= 0]):
        is_class_B = rows.label_B == label
        score_B = rows.predictions[:, int(label)]
        pairs = binary_pairs(score_B, is_class_B, rows.weight_B)
        parts.append(projected_share(pairs, rows, label_class_B=is_class_B))
    return Projected(
        share=float(np.mean([part.share for part in parts])),
        errors_U=np.mean([part.errors_U for part in parts], axis=0),
    )


def _xauc(rows: Rows) -> Statistic:
    if not labels_differ(rows):
        return UNDEFINED
    pairs = ordered_pairs(rows.predictions, rows.label_B, rows.weight_B)
    return projected_share(pairs, rows, label_class_B=None)


def _gauc(rows: Rows) -> Statistic:
    rows = as_events(rows)
    pairs = binary_pairs(rows.predictions, rows.label_B == 1, rows.weight_B, rows.group_B)
    return share_within_groups(pairs, rows, mixed_groups(rows))


def _gxauc(rows: Rows) -> Statistic:
    pairs = ordered_pairs(rows.predictions, rows.label_B, rows.weight_B, rows.group_B)
    return share_within_groups(pairs, rows, mixed_groups(rows))


def labels_differ(rows: Rows) -> bool:
    return bool(rows.label_B.min() < rows.label_B.max())


def of_sums(rows: Rows, finish: Callable[[Floats], Floats], *columns: Floats | float) -> OfSums:
    """A function of the weighted sums of columns."""
    return OfSums(rows.per_unit(*(rows.weight_B * column for column in columns)), finish)


def _binary_log_loss(rows: Rows) -> Statistic:
    # A label between 0 and 1 is a probability: its log-loss is the cross-entropy.
    label_B = rows.label_B
    yes_B = rows.predictions.clip(rows.epsilon, 1 - rows.epsilon)
    no_B = (1 - rows.predictions).clip(rows.epsilon, 1 - rows.epsilon)
    return of_sums(rows, ratio, -label_B * np.log(yes_B) - (1 - label_B) * np.log(no_B), 1.0)


def _class_log_loss(rows: Rows) -> Statistic:
    label_B = rows.label_B.astype(np.intp)
    of_label_B = rows.predictions[np.arange(len(label_B)), label_B]
    of_label_B[label_B < 0] = 0.0  # A class that the model has never met.
    return of_sums(rows, ratio, -np.log(of_label_B.clip(rows.epsilon, 1)), 1.0)


def _accuracy(rows: Rows) -> Statistic:
    return of_sums(rows, ratio, rows.predictions.argmax(axis=1) == rows.label_B, 1.0)


def _calibration(rows: Rows) -> Statistic:
    return of_sums(rows, ratio, rows.predictions, rows.label_B)


def _rmse(rows: Rows) -> Statistic:
    squared_B = np.square(rows.predictions - rows.label_B)
    return of_sums(rows, lambda sums_RK: np.sqrt(ratio(sums_RK)), squared_B, 1.0)


def _mae(rows: Rows) -> Statistic:
    return of_sums(rows, ratio, np.abs(rows.predictions - rows.label_B), 1.0)


def _r2(rows: Rows) -> Statistic:
    if not labels_differ(rows):
        return UNDEFINED
    # Labels far from 0 would lose their variance to rounding; a shift changes nothing else.
    label_B = rows.label_B - np.average(rows.label_B, weights=rows.weight_B)
    squared_B = np.square(rows.predictions - rows.label_B)
    return of_sums(rows, _explained, squared_B, np.square(label_B), label_B, 1.0)


def _explained(sums_RK: Floats) -> Floats:
    """1 - squared error / squared deviation, from sums of: error^2, label^2, label, 1."""
    error_R, square_R, label_R, weight_R = sums_RK.T
    explained_R: Floats = 1 - error_R / (square_R - label_R**2 / weight_R)
    return explained_R


def _poisson_deviance(rows: Rows) -> Statistic:
    """Twice the log-likelihood that is missing to the best: 2 (y log(y / p) - y + p), mean."""
    rate_B = rows.predictions.clip(rows.epsilon)
    label_B = rows.label_B
    log_ratio_B = np.log(np.where(label_B > 0, label_B / rate_B, 1.0))
    return of_sums(rows, ratio, 2 * (label_B * log_ratio_B - label_B + rate_B), 1.0)


NO_ROWS = "there is no labelled row"
ONE_CLASS = "the labels are all of one class"
EQUAL = "the labels are all equal"
NO_SUM = "the labels sum to 0"
NO_GROUP = "no group has two different labels"

AUC = Definition("auc", True, _auc, ONE_CLASS)
GAUC = Definition("gauc", True, _gauc, NO_GROUP, needs_groups=True)
LOG_LOSS = Definition("log_loss", False, _binary_log_loss, NO_ROWS)
CALIBRATION = Definition("calibration", None, _calibration, NO_SUM)
ACCURACY = Definition("accuracy", True, _accuracy, NO_ROWS)
MACRO_AUC = Definition("macro_auc", True, _macro_auc, ONE_CLASS)
CLASS_LOG_LOSS = Definition("log_loss", False, _class_log_loss, NO_ROWS)
RMSE = Definition("rmse", False, _rmse, NO_ROWS)
MAE = Definition("mae", False, _mae, NO_ROWS)
R2 = Definition("r2", True, _r2, EQUAL)
XAUC = Definition("xauc", True, _xauc, EQUAL)
GXAUC = Definition("gxauc", True, _gxauc, NO_GROUP, needs_groups=True)
POISSON_DEVIANCE = Definition("poisson_deviance", False, _poisson_deviance, NO_ROWS)
