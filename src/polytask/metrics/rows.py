"""The labelled rows of one task, checked: what every metric reads."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from polytask.errors import UserError
from polytask.metrics.arrays import Booleans, Floats, Integers
from polytask.metrics.spaces import LabelSpace


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows with a label and a weight above 0.

    `predictions` is (B,), or (B, C), such as class probabilities. `group_B` is 0 to num_groups - 1, or None.
    `epsilon` is the rounding unit of the predictions as they came: probabilities are clipped by it
    under a logarithm, since a float32 model cannot say more than 1 - 1.2e-7. `center` is a number near the labels
    that several parts of the rows have in common.
    """

    predictions: Floats
    label_B: Floats
    weight_B: Floats
    group_B: Integers | None
    num_groups: int
    num_unlabelled: int
    epsilon: float
    center: float | None = None

    def __len__(self) -> int:
        return len(self.label_B)

    @property
    def num_units(self) -> int:
        """What is resampled: groups if there are any, else rows."""
        return len(self.label_B) if self.group_B is None else self.num_groups

    def labels_differ(self) -> bool:
        return bool(self.label_B.min() < self.label_B.max())

    def mixed_groups(self) -> Booleans:
        """Whether a group holds two different labels (G,)."""
        assert self.group_B is not None
        least_G = np.full(self.num_groups, np.inf)
        greatest_G = np.full(self.num_groups, -np.inf)
        np.minimum.at(least_G, self.group_B, self.label_B)
        np.maximum.at(greatest_G, self.group_B, self.label_B)
        return least_G < greatest_G

    def as_events(self) -> "Rows":
        """Labels that are probabilities as the likelier of yes and no: what pairs of rows need."""
        return replace(self, label_B=(self.label_B >= 0.5).astype(np.float64))

    def per_unit(self, *terms: Floats) -> Floats:
        """K terms (B,) as (K, U): summed within each group, or as they are without groups."""
        if self.group_B is None:
            return np.stack(terms)
        return np.stack([np.bincount(self.group_B, term_B, self.num_groups) for term_B in terms])


def read_rows(
    space: LabelSpace,
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
    space.check_shape(raw.shape, len(label_B))
    weight_B = _read_weights(weights, len(label_B))
    is_labelled_B = ~np.isnan(label_B)
    is_kept_B = is_labelled_B & (weight_B > 0)
    kept = np.asarray(raw[is_kept_B], dtype=np.float64)
    space.check_labels(label_B[is_kept_B], num_columns=raw.shape[1] if raw.ndim == 2 else 0)
    space.check_predictions(kept, np.flatnonzero(is_kept_B))
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


def _read_weights(weights: ArrayLike | None, num_rows: int) -> Floats:
    if weights is None:
        return np.ones(num_rows)
    weight_B = np.asarray(weights, dtype=np.float64)
    if weight_B.shape != (num_rows,):
        raise UserError(f"weights must be of shape ({num_rows},), but {weight_B.shape=}")
    if not np.all(np.isfinite(weight_B) & (weight_B >= 0)):
        raise UserError("weights must be finite and not negative; a weight of 0 drops the row")
    return weight_B


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
