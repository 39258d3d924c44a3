"""Metrics of pairs of rows: AUC of one class against the rest, and shares of pairs in order."""

from collections.abc import Iterable

import numpy as np

from polytask.metrics.definition import OneAgainstRest
from polytask.metrics.ranking import binary_pairs, ordered_pairs
from polytask.metrics.rows import Rows
from polytask.metrics.statistic import (
    UNDEFINED,
    Projected,
    Statistic,
    presorted_auc,
    projected_share,
    share_within_groups,
)


def yes_against_no(rows: Rows) -> Iterable[OneAgainstRest]:
    yield OneAgainstRest(1, rows.predictions, rows.as_events().label_B == 1)


def each_against_rest(rows: Rows) -> Iterable[OneAgainstRest]:
    """Of all columns, whether rows have their class or not."""
    for label, score_B in enumerate(rows.predictions.T):
        yield OneAgainstRest(label, score_B, rows.label_B == label)


def auc(rows: Rows) -> Statistic:
    """With groups the interval is by resampling them, without by DeLong's variance."""
    [(_, score_B, is_positive_B)] = yes_against_no(rows)
    if is_positive_B.all() or not is_positive_B.any():
        return UNDEFINED
    if rows.group_B is not None:
        return presorted_auc(score_B, is_positive_B, rows)
    pairs = binary_pairs(score_B, is_positive_B, rows.weight_B)
    return projected_share(pairs, rows, label_class_B=is_positive_B)


def macro_auc(rows: Rows) -> Statistic:
    """Mean over the classes present of one class versus the rest; their errors are correlated."""
    if not rows.labels_differ():
        return UNDEFINED
    parts = []
    for _, score_B, is_class_B in each_against_rest(rows):
        if not is_class_B.any():
            continue
        pairs = binary_pairs(score_B, is_class_B, rows.weight_B)
        parts.append(projected_share(pairs, rows, label_class_B=is_class_B))
    return Projected(
        share=float(np.mean([part.share for part in parts])),
        errors_U=np.mean([part.errors_U for part in parts], axis=0),
    )


def xauc(rows: Rows) -> Statistic:
    if not rows.labels_differ():
        return UNDEFINED
    pairs = ordered_pairs(rows.predictions, rows.label_B, rows.weight_B)
    return projected_share(pairs, rows, label_class_B=None)


def gauc(rows: Rows) -> Statistic:
    rows = rows.as_events()
    pairs = binary_pairs(rows.predictions, rows.label_B == 1, rows.weight_B, rows.group_B)
    return share_within_groups(pairs, rows, rows.mixed_groups())


def gxauc(rows: Rows) -> Statistic:
    pairs = ordered_pairs(rows.predictions, rows.label_B, rows.weight_B, rows.group_B)
    return share_within_groups(pairs, rows, rows.mixed_groups())
