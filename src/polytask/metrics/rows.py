"""The labelled rows of one task, checked: what every metric reads."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polytask.errors import UserError

KindName = Literal["binary", "multiclass", "regression", "count"]
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.intp]
Booleans: TypeAlias = NDArray[np.bool_]

_SLACK_OF_SUM = 1e-2
"""Class probabilities may miss the sum 1 by this much: bfloat16 rounds by 2^-9."""

_SLACK_OF_BOUNDS = 1e-6
"""A float32 softmax may end a rounding above 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows with a label and a weight above 0.

    `predictions` is (B,), or (B, C) class probabilities. `group_B` is 0 to num_groups - 1, or None.
    `epsilon` is the rounding unit of the predictions as they came: probabilities are clipped by it
    under a logarithm, since a float32 model cannot say more than 1 - 1.2e-7.
    """

    predictions: Floats
    label_B: Floats
    weight_B: Floats
    group_B: Integers | None
    num_groups: int
    num_unlabelled: int
    epsilon: float

    def __len__(self) -> int:
        return len(self.label_B)

    @property
    def num_units(self) -> int:
        """What is resampled: groups if there are any, else rows."""
        return len(self.label_B) if self.group_B is None else self.num_groups

    def per_unit(self, *terms: Floats) -> Floats:
        """K terms (B,) as (K, U): summed within each group, or as they are without groups."""
        if self.group_B is None:
            return np.stack(terms)
        return np.stack([np.bincount(self.group_B, term_B, self.num_groups) for term_B in terms])


def read_rows(
    kind: KindName,
    predictions: ArrayLike,
    labels: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Rows:
    """Drop the rows without a label or with weight 0; raise UserError for what cannot be scored."""
    label_B = np.asarray(labels, dtype=np.float64)
    if label_B.ndim != 1:
        raise UserError(f"labels must be of shape (B,), but {label_B.shape=}")
    raw = np.asarray(predictions)
    _check_shape(kind, raw.shape, len(label_B))
    weight_B = _read_weights(weights, len(label_B))
    is_labelled_B = ~np.isnan(label_B)
    is_kept_B = is_labelled_B & (weight_B > 0)
    kept = np.asarray(raw[is_kept_B], dtype=np.float64)
    _check_labels(kind, label_B[is_kept_B], num_classes=raw.shape[1] if raw.ndim == 2 else 0)
    _check_predictions(kind, kept, np.flatnonzero(is_kept_B))
    group_B, num_groups = _read_groups(groups, is_kept_B)
    return Rows(
        predictions=kept,
        label_B=label_B[is_kept_B],
        weight_B=weight_B[is_kept_B],
        group_B=group_B,
        num_groups=num_groups,
        num_unlabelled=int(len(label_B) - is_labelled_B.sum()),
        epsilon=float(np.finfo(raw.dtype if raw.dtype.kind == "f" else np.float64).eps),
    )


def _check_shape(kind: KindName, shape: tuple[int, ...], num_rows: int) -> None:
    if kind == "multiclass":
        if len(shape) != 2 or shape[0] != num_rows or shape[1] < 2:
            raise UserError(
                f"multiclass predictions must be class probabilities of shape (B, C) with B = "
                f"{num_rows} as the labels and C at least 2, but the shape is {shape}"
            )
    elif shape != (num_rows,):
        raise UserError(
            f"{kind} predictions must be of shape ({num_rows},) as the labels, but it is {shape}"
        )


def _read_weights(weights: ArrayLike | None, num_rows: int) -> Floats:
    if weights is None:
        return np.ones(num_rows)
    weight_B = np.asarray(weights, dtype=np.float64)
    if weight_B.shape != (num_rows,):
        raise UserError(f"weights must be of shape ({num_rows},), but {weight_B.shape=}")
    if not np.all(np.isfinite(weight_B) & (weight_B >= 0)):
        raise UserError("weights must be finite and not negative; a weight of 0 drops the row")
    return weight_B


def _check_labels(kind: KindName, label_B: Floats, *, num_classes: int) -> None:
    if not np.isfinite(label_B).all():
        raise UserError(f"{int(np.isinf(label_B).sum())} labels are infinite; missing ones are NaN")
    if kind == "binary":
        is_wrong_B = (label_B != 0) & (label_B != 1)
        expected = "0 or 1"
    elif kind == "multiclass":
        is_wrong_B = (label_B < 0) | (label_B >= num_classes) | (label_B != np.floor(label_B))
        expected = f"a whole number from 0 to {num_classes - 1}"
    elif kind == "count":
        is_wrong_B = label_B < 0
        expected = "0 or more"
    else:
        return
    if is_wrong_B.any():
        example = label_B[np.argmax(is_wrong_B)]
        raise UserError(
            f"a {kind} label must be {expected}, or NaN if unknown, but one is {example:g}"
        )


def _check_predictions(kind: KindName, kept: Floats, row_of_kept: Integers) -> None:
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
    is_probability = kind in ("binary", "multiclass")
    if is_probability and (low < -_SLACK_OF_BOUNDS or high > 1 + _SLACK_OF_BOUNDS):
        raise UserError(
            f"{kind} predictions must be probabilities in [0, 1], but they run from {low:g} to "
            f"{high:g}; give sigmoid or softmax of the logits"
        )
    if kind == "count" and low < 0:
        raise UserError(f"count predictions must be 0 or more, but the least is {low:g}")
    if kind == "multiclass":
        error = float(np.abs(kept.sum(axis=1) - 1).max())
        if error > _SLACK_OF_SUM:
            raise UserError(
                f"class probabilities must sum to 1 in each row, but one is off by {error:g}"
            )


def _read_groups(groups: ArrayLike | None, is_kept_B: Booleans) -> tuple[Integers | None, int]:
    """Codes 0 to G - 1 of the kept rows. A row without a group (NaN, None) is a group of its own."""
    if groups is None:
        return None, 0
    raw_B = np.asarray(groups)
    if raw_B.shape != is_kept_B.shape:
        raise UserError(f"groups must be of shape ({len(is_kept_B)},), but it is {raw_B.shape}")
    kept_B = raw_B[is_kept_B]
    if kept_B.dtype == object:
        # np.unique compares objects with each other, which text beside None or numbers does not bear.
        codes: dict[object, int] = {}
        kept_B = np.array(
            [np.nan if v is None or v != v else codes.setdefault(v, len(codes)) for v in kept_B],
            dtype=np.float64,
        )
    names, code_B = np.unique(kept_B, return_inverse=True, equal_nan=False)
    return code_B.astype(np.intp), len(names)
