"""The metrics by name: for each kind of task, what is computed, and which way is better."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from polytask.errors import UserError, nearest
from polytask.metrics.ranking import binary_pairs, ordered_pairs
from polytask.metrics.result import KindName
from polytask.metrics.rows import Booleans, Floats, Rows
from polytask.metrics.statistic import (
    OfSums,
    Projected,
    Statistic,
    presorted_auc,
    projected_share,
    ratio,
    share_within_groups,
)

_UNDEFINED = OfSums(np.zeros((2, 1)), ratio)
"""A metric that these rows do not define: its value is 0 / 0."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric. `absent_if` says in words when it is not defined."""

    name: str
    higher_is_better: bool | None
    statistic: Callable[[Rows], Statistic]
    absent_if: str
    needs_groups: bool = False

    def advantage(self, value_a: Floats, value_b: Floats) -> Floats:
        """What a is better by than b, elementwise; see `Gain`."""
        if self.higher_is_better is None:
            return np.abs(value_b - 1) - np.abs(value_a - 1)
        return value_a - value_b if self.higher_is_better else value_b - value_a


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

_CALIBRATION = Definition("calibration", None, _calibration, _NO_SUM)
_XAUC = Definition("xauc", True, _xauc, _EQUAL)
_GXAUC = Definition("gxauc", True, _gxauc, _NO_GROUP, needs_groups=True)
_RMSE = Definition("rmse", False, _rmse, _NO_ROWS)
_MAE = Definition("mae", False, _mae, _NO_ROWS)

DEFINITIONS: Mapping[KindName, tuple[Definition, ...]] = MappingProxyType(
    {
        "binary": (
            Definition("auc", True, _auc, _ONE_CLASS),
            Definition("gauc", True, _gauc, _NO_GROUP, needs_groups=True),
            Definition("log_loss", False, _binary_log_loss, _NO_ROWS),
            _CALIBRATION,
        ),
        "multiclass": (
            Definition("accuracy", True, _accuracy, _NO_ROWS),
            Definition("macro_auc", True, _macro_auc, _ONE_CLASS),
            Definition("log_loss", False, _class_log_loss, _NO_ROWS),
        ),
        "regression": (
            _RMSE,
            _MAE,
            Definition("r2", True, _r2, _EQUAL),
            _XAUC,
            _GXAUC,
        ),
        "count": (
            Definition("poisson_deviance", False, _poisson_deviance, _NO_ROWS),
            _RMSE,
            _MAE,
            _CALIBRATION,
            _XAUC,
            _GXAUC,
        ),
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


def metric_direction(name: str) -> bool | None:
    """Whether higher is better; None for calibration, which is best at 1."""
    directions = {
        each.name: each.higher_is_better for kind in DEFINITIONS.values() for each in kind
    }
    if name not in directions:
        raise UserError(f"unknown metric {name!r}{nearest(name, directions)}")
    return directions[name]


def metric_needs_groups(name: str) -> bool:
    """Whether the metric is taken within groups, such as GAUC."""
    return any(
        each.needs_groups for kind in DEFINITIONS.values() for each in kind if each.name == name
    )
