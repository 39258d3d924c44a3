"""The metrics: what is computed, what it means, where better is. A kind of task lists its own."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from polytask.metrics.arrays import Floats
from polytask.metrics.definition import Definition
from polytask.metrics.pair_statistics import (
    auc,
    each_against_rest,
    gauc,
    gxauc,
    macro_auc,
    xauc,
    yes_against_no,
)
from polytask.metrics.rows import Rows
from polytask.metrics.statistic import UNDEFINED, OfSums, Statistic, ratio


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


def _macro_f1(rows: Rows) -> Statistic:
    """2 TP / (2 TP + FP + FN) of each class, in the mean over the classes that rows have."""
    classes = np.unique(rows.label_B[rows.label_B >= 0])
    if not len(classes):
        return UNDEFINED
    predicted_B = rows.predictions.argmax(axis=1)
    columns: list[Floats] = []
    for each in classes:
        is_class_B, is_said_B = rows.label_B == each, predicted_B == each
        columns += [2.0 * (is_class_B & is_said_B), is_class_B.astype(float) + is_said_B]

    def mean_of_classes(sums_RK: Floats) -> Floats:
        twice_RC, both_RC = sums_RK[:, ::2], sums_RK[:, 1::2]
        # A resample may lack a class.
        shares_RC = np.divide(
            twice_RC, both_RC, out=np.full_like(both_RC, np.nan), where=both_RC > 0
        )
        means_R: Floats = np.nanmean(shares_RC, axis=1)
        return means_R

    return of_sums(rows, mean_of_classes, *columns)


def _calibration(rows: Rows) -> Statistic:
    """Mean predicted over mean observed, for labels of 0 or more."""
    if rows.label_B.min() < 0:
        return UNDEFINED
    return of_sums(rows, ratio, rows.predictions, rows.label_B)


def _rmse(rows: Rows) -> Statistic:
    squared_B = np.square(rows.predictions - rows.label_B)
    return of_sums(rows, lambda sums_RK: np.sqrt(ratio(sums_RK)), squared_B, 1.0)


def _mae(rows: Rows) -> Statistic:
    return of_sums(rows, ratio, np.abs(rows.predictions - rows.label_B), 1.0)


def _r2(rows: Rows) -> Statistic:
    if rows.center is None and not rows.labels_differ():
        return UNDEFINED
    # Labels far from 0 would lose their variance to rounding; a shift changes nothing else.
    center = np.average(rows.label_B, weights=rows.weight_B) if rows.center is None else rows.center
    label_B = rows.label_B - center
    squared_B = np.square(rows.predictions - rows.label_B)

    def explained(sums_RK: Floats) -> Floats:
        error_R, square_R, label_R, weight_R = sums_RK.T
        explained_R: Floats = 1 - error_R / (square_R - label_R**2 / weight_R)
        return explained_R

    return of_sums(rows, explained, squared_B, np.square(label_B), label_B, 1.0)


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

AUC = Definition(
    "auc",
    "AUC",
    "higher",
    auc,
    ONE_CLASS,
    "how often a random yes scores above a random no: 0.5 is chance, 1 is perfect",
    classes=yes_against_no,
)
GAUC = Definition(
    "gauc",
    "GAUC",
    "higher",
    gauc,
    NO_GROUP,
    "AUC within each group, such as a user, in the mean over the groups' rows",
    needs_groups=True,
    adds_up=True,
)
LOG_LOSS = Definition(
    "log_loss",
    "log loss",
    "lower",
    _binary_log_loss,
    NO_ROWS,
    "minus the mean logarithm of the probability given to what happened: 0 is perfect",
    adds_up=True,
)
CLASS_LOG_LOSS = replace(LOG_LOSS, statistic=_class_log_loss)
CALIBRATION = Definition(
    "calibration",
    "calibration",
    "to 1",
    _calibration,
    NO_SUM,
    "mean prediction over mean label: above 1 the model promises too much",
    adds_up=True,
)
CALIBRATION_OF_ANY = replace(CALIBRATION, absent_if=f"{NO_SUM}, or some are negative")
MACRO_AUC = Definition(
    "macro_auc",
    "macro AUC",
    "higher",
    macro_auc,
    ONE_CLASS,
    "AUC of each class against the others, in the mean over the classes",
    classes=each_against_rest,
)
ACCURACY = Definition(
    "accuracy",
    "accuracy",
    "higher",
    _accuracy,
    NO_ROWS,
    "share of rows whose most probable class is the right one",
    adds_up=True,
)
MACRO_F1 = Definition(
    "macro_f1",
    "macro F1",
    "higher",
    _macro_f1,
    NO_ROWS,
    "harmonic mean of precision and recall of each class, in the mean over the classes",
)
R2 = Definition(
    "r2",
    "R²",
    "higher",
    _r2,
    EQUAL,
    "share of the labels' variance that is explained: 0 is no better than always predicting the "
    "mean, 1 is perfect",
    adds_up=True,
)
XAUC = Definition(
    "xauc",
    "XAUC",
    "higher",
    xauc,
    EQUAL,
    "share of pairs of rows that are in the right order: 0.5 is chance, 1 is perfect",
)
GXAUC = Definition(
    "gxauc",
    "GXAUC",
    "higher",
    gxauc,
    NO_GROUP,
    "XAUC within each group, in the mean over the groups' rows",
    needs_groups=True,
    adds_up=True,
)
MAE = Definition(
    "mae",
    "MAE",
    "lower",
    _mae,
    NO_ROWS,
    "mean distance to the label, in the label's own unit",
    adds_up=True,
)
RMSE = Definition(
    "rmse",
    "RMSE",
    "lower",
    _rmse,
    NO_ROWS,
    "root of the mean squared distance to the label, in the label's own unit",
    adds_up=True,
)
POISSON_DEVIANCE = Definition(
    "poisson_deviance",
    "Poisson deviance",
    "lower",
    _poisson_deviance,
    NO_ROWS,
    "how far the predicted counts are from the labels, in units of their own noise: 0 is perfect",
    adds_up=True,
)
