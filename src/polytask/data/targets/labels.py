"""One label column: fitted on the training rows, and turned into numbers."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.columns.numbers import finite_numbers, first_number
from polytask.columns.values import (
    Coded,
    Value,
    coded,
    commonest,
    converted,
    positions,
    value_array,
    value_kind,
)
from polytask.data.targets.conditions import parse_condition
from polytask.data.targets.target import FittedTarget, Target
from polytask.errors import UserError

_MOST_CLASSES = 10_000


class Labels(NamedTuple):
    """Labels of one target, NaN where missing or unseen, and how many were unseen."""

    values_B: NDArray[np.float64]
    num_unseen: int = 0


def fit_target(target: Target, column: pa.ChunkedArray) -> FittedTarget:
    """What the training rows say about one target, its parent aside."""
    if target.kind == "binary":
        return _fit_binary(target, column)
    if target.kind == "multiclass":
        return _fit_multiclass(target, column)
    if target.kind == "count":
        return FittedTarget(target)
    values_B = _transformed(target, column)
    present = values_B[~np.isnan(values_B)]
    require_variety(target, present)
    return FittedTarget(target, mean=float(present.mean()), std=float(present.std()))


def label_values(fitted: FittedTarget, column: pa.ChunkedArray) -> Labels:
    """0 or 1, class indices, standardised values, or counts; the parent aside."""
    target = fitted.target
    if fitted.condition is not None:
        return Labels(fitted.condition.evaluate(column, target.what))
    if fitted.classes:
        return _class_indices(coded(column, target.what), fitted.classes, target.what)
    if target.kind == "count":
        return Labels(_counts(target, column))
    return Labels((_transformed(target, column) - fitted.mean) / fitted.std)


def require_variety(target: Target, present: NDArray[np.floating]) -> None:
    """UserError where the labels of the training rows teach nothing."""
    if len(present) == 0:
        raise UserError(f"{target.what}: every training row is without a label")
    if present.min() == present.max():
        value = "yes" if present[0] == 1 and target.kind == "binary" else f"{present[0]:g}"
        if target.kind == "binary" and present[0] == 0:
            value = "no"
        raise UserError(
            f"{target.what} is constant: all {len(present):,} labelled training rows are {value}; "
            "there is nothing to learn"
        )


def _fit_binary(target: Target, column: pa.ChunkedArray) -> FittedTarget:
    values = coded(column, target.what)
    if not (values.codes_B >= 0).any():
        raise UserError(f"{target.what}: every training row is without a label")
    if target.positive is not None:
        return FittedTarget(target, condition=parse_condition(target.positive, column, target.what))
    if values.kind == "boolean":
        return FittedTarget(target, classes=(False, True))
    occurring = values.values.filter(pa.array(values.counts() > 0)).to_pylist()
    if values.kind == "integer" and set(occurring) <= {0, 1}:
        return FittedTarget(target, classes=(0, 1))
    example = f"{target.column}:binary:{occurring[-1]}"
    raise UserError(
        f"{target.what} is binary, but its values are not 0 and 1: {commonest(values)}; "
        f"say which are yes, as in {example!r}"
    )


def _fit_multiclass(target: Target, column: pa.ChunkedArray) -> FittedTarget:
    values = coded(column, target.what)
    occurring = values.values.filter(pa.array(values.counts() > 0))
    if len(occurring) == 0:
        raise UserError(f"{target.what}: every training row is without a label")
    if values.kind == "float":
        raise UserError(
            f"{target.what} is multiclass, but holds fractions ({commonest(values)}): "
            "make it a regression, or bin it by --derive"
        )
    if len(occurring) > _MOST_CLASSES:
        raise UserError(
            f"{target.what} would have {len(occurring):,} classes; at most {_MOST_CLASSES:,} are taken"
        )
    if len(occurring) == 1:
        raise UserError(
            f"{target.what} is constant: all labelled training rows are {occurring[0].as_py()!r}; "
            "there is nothing to learn"
        )
    return FittedTarget(target, classes=tuple(sorted(occurring.to_pylist())))


def _class_indices(column: Coded, classes: tuple[Value, ...], what: str) -> Labels:
    among = value_array(classes)
    values = converted(column, value_kind(among.type), what)
    index = positions(values, among).astype(np.float64)
    index[index < 0] = np.nan
    values_B = column.spread(index, missing=np.nan)
    num_labelled = int(np.count_nonzero(column.codes_B >= 0))
    return Labels(values_B, num_labelled - int(np.count_nonzero(~np.isnan(values_B))))


def _counts(target: Target, column: pa.ChunkedArray) -> NDArray[np.float64]:
    values_B = finite_numbers(column, target.what)
    wrong = (values_B < 0) | (values_B != np.floor(values_B)) & ~np.isnan(values_B)
    _require_none(wrong, values_B, f"{target.what} is a count, but holds negatives or fractions")
    return values_B


def _transformed(target: Target, column: pa.ChunkedArray) -> NDArray[np.float64]:
    values_B = finite_numbers(column, target.what)
    if target.transform is None:
        return values_B
    _require_none(
        values_B <= -1, values_B, f"{target.what} is transformed by log1p, but holds -1 or less"
    )
    return np.log1p(values_B)


def _require_none(wrong_B: NDArray[np.bool_], values_B: NDArray[np.float64], message: str) -> None:
    if wrong_B.any():
        raise UserError(f"{message}: {first_number(values_B, wrong_B)}")
