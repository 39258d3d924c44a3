"""The metrics by name: for each kind of task, what is computed, what it means, where better is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from polytask.errors import UserError, nearest
from polytask.metrics.intervals import Interval
from polytask.metrics.ranking import binary_pairs, ordered_pairs
from polytask.metrics.rows import Booleans, Floats, KindName, Rows
from polytask.metrics.statistic import (
    OfSums,
    Projected,
    Statistic,
    presorted_auc,
    projected_share,
    ratio,
    share_within_groups,
)
from polytask.records import Direction, MetricValue

_UNDEFINED = OfSums(np.zeros((2, 1)), ratio)
"""A metric that these rows do not define: its value is 0 / 0."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric. `absent_if` says in words when it is not defined, `meaning` what it tells a reader."""

    name: str
    title: str
    direction: Direction
    statistic: Callable[[Rows], Statistic]
    absent_if: str
    meaning: str
    needs_groups: bool = False

    def advantage(self, value_a: Floats, value_b: Floats) -> Floats:
        """How much better a is than b, elementwise; see `Gain`."""
        match self.direction:
            case "to 1":
                return np.abs(value_b - 1) - np.abs(value_a - 1)
            case "higher":
                return value_a - value_b
            case "lower":
                return value_b - value_a

    def record(self, value: float, interval: Interval | None = None) -> MetricValue:
        """The metric's value with what a reader has to know of it."""
        low, high = (None, None) if interval is None else (interval.low, interval.high)
        return MetricValue(self.name, value, low, high, self.direction, self.title)


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
    is_positive_B = rows.label_B == 1
    if not _labels_differ(rows):
        return _UNDEFINED
    if rows.group_B is not None:
        return presorted_auc(rows.predictions, is_positive_B, rows)
    pairs = binary_pairs(rows.predictions, is_positive_B, rows.weight_B)
    return projected_share(pairs, rows, label_class_B=is_positive_B)


def _macro_auc(rows: Rows) -> Statistic:
    """Mean over the classes present of one class versus the rest; their errors are correlated."""
    if not _labels_differ(rows):
        return _UNDEFINED
    parts = []
    for label in np.unique(rows.label_B):
        is_class_B = rows.label_B == label
        score_B = rows.predictions[:, int(label)]
        pairs = binary_pairs(score_B, is_class_B, rows.weight_B)
        parts.append(projected_share(pairs, rows, label_class_B=is_class_B))
    return Projected(
        share=float(np.mean([part.share for part in parts])),
        errors_U=np.mean([part.errors_U for part in parts], axis=0),
    )


def _xauc(rows: Rows) -> Statistic:
    if not _labels_differ(rows):
        return _UNDEFINED
    pairs = ordered_pairs(rows.predictions, rows.label_B, rows.weight_B)
    return projected_share(pairs, rows, label_class_B=None)


def _gauc(rows: Rows) -> Statistic:
    pairs = binary_pairs(rows.predictions, rows.label_B == 1, rows.weight_B, rows.group_B)
    return share_within_groups(pairs, rows, mixed_groups(rows))


def _gxauc(rows: Rows) -> Statistic:
    pairs = ordered_pairs(rows.predictions, rows.label_B, rows.weight_B, rows.group_B)
    return share_within_groups(pairs, rows, mixed_groups(rows))


def _labels_differ(rows: Rows) -> bool:
    return bool(rows.label_B.min() < rows.label_B.max())


def _of_sums(rows: Rows, finish: Callable[[Floats], Floats], *columns: Floats | float) -> OfSums:
    """A function of the weighted sums of columns."""
    return OfSums(rows.per_unit(*(rows.weight_B * column for column in columns)), finish)


def _binary_log_loss(rows: Rows) -> Statistic:
    of_label_B = np.where(rows.label_B == 1, rows.predictions, 1 - rows.predictions)
    return _of_sums(rows, ratio, -np.log(of_label_B.clip(rows.epsilon, 1 - rows.epsilon)), 1.0)


def _class_log_loss(rows: Rows) -> Statistic:
    label_B = rows.label_B.astype(np.intp)
    of_label_B = rows.predictions[np.arange(len(label_B)), label_B]
    return _of_sums(rows, ratio, -np.log(of_label_B.clip(rows.epsilon, 1)), 1.0)


def _accuracy(rows: Rows) -> Statistic:
    return _of_sums(rows, ratio, rows.predictions.argmax(axis=1) == rows.label_B, 1.0)


def _calibration(rows: Rows) -> Statistic:
    """Mean predicted over mean observed, for labels of 0 or more."""
    if rows.label_B.min() < 0:
        return _UNDEFINED
    return _of_sums(rows, ratio, rows.predictions, rows.label_B)


def _rmse(rows: Rows) -> Statistic:
    squared_B = np.square(rows.predictions - rows.label_B)
    return _of_sums(rows, lambda sums_RK: np.sqrt(ratio(sums_RK)), squared_B, 1.0)


def _mae(rows: Rows) -> Statistic:
    return _of_sums(rows, ratio, np.abs(rows.predictions - rows.label_B), 1.0)


def _r2(rows: Rows) -> Statistic:
    if not _labels_differ(rows):
        return _UNDEFINED
    # Labels far from 0 would lose their variance to rounding; a shift changes nothing else.
    label_B = rows.label_B - np.average(rows.label_B, weights=rows.weight_B)
    squared_B = np.square(rows.predictions - rows.label_B)
    return _of_sums(rows, _explained, squared_B, np.square(label_B), label_B, 1.0)


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
    return _of_sums(rows, ratio, 2 * (label_B * log_ratio_B - label_B + rate_B), 1.0)


_NO_ROWS = "there is no labelled row"
_ONE_CLASS = "the labels are all of one class"
_EQUAL = "the labels are all equal"
_NO_SUM = "the labels sum to 0"
_NO_GROUP = "no group has two different labels"

_AUC = Definition(
    "auc",
    "AUC",
    "higher",
    _auc,
    _ONE_CLASS,
    "how often a random yes scores above a random no: 0.5 is chance, 1 is perfect",
)
_GAUC = Definition(
    "gauc",
    "GAUC",
    "higher",
    _gauc,
    _NO_GROUP,
    "AUC within each group, such as a user, in the mean over the groups' rows",
    needs_groups=True,
)
_LOG_LOSS = "minus the mean logarithm of the probability given to what happened: 0 is perfect"
_BINARY_LOG_LOSS = Definition(
    "log_loss", "log loss", "lower", _binary_log_loss, _NO_ROWS, _LOG_LOSS
)
_CLASS_LOG_LOSS = Definition("log_loss", "log loss", "lower", _class_log_loss, _NO_ROWS, _LOG_LOSS)
_CALIBRATION = Definition(
    "calibration",
    "calibration",
    "to 1",
    _calibration,
    _NO_SUM,
    "mean prediction over mean label: above 1 the model promises too much",
)
_CALIBRATION_OF_ANY = replace(_CALIBRATION, absent_if=f"{_NO_SUM}, or some are negative")
_MACRO_AUC = Definition(
    "macro_auc",
    "macro AUC",
    "higher",
    _macro_auc,
    _ONE_CLASS,
    "AUC of each class against the others, in the mean over the classes",
)
_ACCURACY = Definition(
    "accuracy",
    "accuracy",
    "higher",
    _accuracy,
    _NO_ROWS,
    "share of rows whose most probable class is the right one",
)
_R2 = Definition(
    "r2",
    "R²",
    "higher",
    _r2,
    _EQUAL,
    "share of the labels' variance that is explained: 0 is no better than always predicting the "
    "mean, 1 is perfect",
)
_XAUC = Definition(
    "xauc",
    "XAUC",
    "higher",
    _xauc,
    _EQUAL,
    "share of pairs of rows that are in the right order: 0.5 is chance, 1 is perfect",
)
_GXAUC = Definition(
    "gxauc",
    "GXAUC",
    "higher",
    _gxauc,
    _NO_GROUP,
    "XAUC within each group, in the mean over the groups' rows",
    needs_groups=True,
)
_MAE = Definition(
    "mae", "MAE", "lower", _mae, _NO_ROWS, "mean distance to the label, in the label's own unit"
)
_RMSE = Definition(
    "rmse",
    "RMSE",
    "lower",
    _rmse,
    _NO_ROWS,
    "root of the mean squared distance to the label, in the label's own unit",
)
_DEVIANCE = Definition(
    "poisson_deviance",
    "Poisson deviance",
    "lower",
    _poisson_deviance,
    _NO_ROWS,
    "how far the predicted counts are from the labels, in units of their own noise: 0 is perfect",
)

# The first one of a kind stands for the task, and they are shown in this order.
DEFINITIONS: Mapping[KindName, tuple[Definition, ...]] = MappingProxyType(
    {
        "binary": (_AUC, _GAUC, _BINARY_LOG_LOSS, _CALIBRATION),
        "multiclass": (_MACRO_AUC, _ACCURACY, _CLASS_LOG_LOSS),
        "regression": (_R2, _XAUC, _GXAUC, _MAE, _RMSE, _CALIBRATION_OF_ANY),
        "count": (_XAUC, _GXAUC, _DEVIANCE, _MAE, _RMSE, _CALIBRATION),
    }
)

METRICS: Mapping[KindName, tuple[str, ...]] = MappingProxyType(
    {kind: tuple(each.name for each in members) for kind, members in DEFINITIONS.items()}
)
"""The names of each kind's metrics, in the order in which they are reported."""


def definitions_of(kind: KindName, *, has_groups: bool) -> tuple[Definition, ...]:
    """What is reported for a task of this kind."""
    if kind not in DEFINITIONS:
        raise UserError(f"unknown kind of task {kind!r}{nearest(kind, DEFINITIONS)}")
    return tuple(each for each in DEFINITIONS[kind] if has_groups or not each.needs_groups)


def definition_of(name: str, kind: KindName) -> Definition:
    """The metric of that name for a kind of task; UserError with the nearest name otherwise."""
    for definition in definitions_of(kind, has_groups=True):
        if definition.name == name:
            return definition
    raise UserError(f"unknown metric {name!r} of a {kind} task{nearest(name, METRICS[kind])}")


def metric_direction(name: str) -> Direction:
    """Where better is for the metric of that name."""
    directions = {each.name: each.direction for kind in DEFINITIONS.values() for each in kind}
    if name not in directions:
        raise UserError(f"unknown metric {name!r}{nearest(name, directions)}")
    return directions[name]


def metric_needs_groups(name: str) -> bool:
    """Whether the metric is taken within groups, such as GAUC."""
    return any(
        each.needs_groups for kind in DEFINITIONS.values() for each in kind if each.name == name
    )


def metric_value(name: str, kind: KindName, value: float) -> MetricValue:
    """A metric that is known by its name and value, such as one of a validation."""
    return definition_of(name, kind).record(value)


def glossary() -> dict[str, str]:
    """What each metric means, in one line, by name."""
    return {each.name: each.meaning for kind in DEFINITIONS.values() for each in kind}
