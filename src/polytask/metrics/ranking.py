"""Correctly ordered pairs (AUC, XAUC), row by row, weighted, over all rows or within groups.

A pair of rows counts with the product of its weights; one with equal predictions counts one half.
"""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from polytask.metrics.arrays import Booleans, Floats, Integers

Entry = TypeVar("Entry", bound=np.generic)


class PairWeights(NamedTuple):
    """Per row: the weight of the rows that form a pair with it, and of those ordered correctly.

    The share of correctly ordered pairs is sum(weight correct) / sum(weight total), over all rows or,
    where pairs were formed within groups, over a group. Totals come from differences of sums: where
    labels are all equal they may miss 0 by a rounding.
    """

    correct_B: Floats
    total_B: Floats


def binary_pairs(
    score_B: Floats, is_positive_B: Booleans, weight_B: Floats, group_B: Integers | None = None
) -> PairWeights:
    """Pairs of a positive and a negative: AUC. One sort.

    These are the placement values of DeLong et al., Biometrics 1988; that they follow from ranks
    alone is Sun & Xu, IEEE Signal Processing Letters 2014. Cumulated weights replace the midranks,
    so that rows may have weights.
    """
    if group_B is None:
        order_B = np.argsort(score_B)
        starts_group_B = np.zeros(len(order_B), dtype=np.bool_)
    else:
        order_B = np.lexsort((score_B, group_B))
        starts_group_B = _differs_from_previous(group_B[order_B])
    score, positive, weight = score_B[order_B], is_positive_B[order_B], weight_B[order_B]
    starts_tie_B = starts_group_B | _differs_from_previous(score)
    tie_begin_B, tie_end_B = _run_bounds(starts_tie_B)
    group_begin_B, group_end_B = _run_bounds(starts_group_B)
    negative_up_to = _cumulated(np.where(positive, 0.0, weight))
    positive_up_to = _cumulated(np.where(positive, weight, 0.0))

    # Half of a tie's weight counts as below and half as above.
    negative_below = (negative_up_to[tie_begin_B] + negative_up_to[tie_end_B]) / 2
    positive_below = (positive_up_to[tie_begin_B] + positive_up_to[tie_end_B]) / 2
    correct = np.where(
        positive,
        negative_below - negative_up_to[group_begin_B],
        positive_up_to[group_end_B] - positive_below,
    )
    total = np.where(
        positive,
        negative_up_to[group_end_B] - negative_up_to[group_begin_B],
        positive_up_to[group_end_B] - positive_up_to[group_begin_B],
    )
    return PairWeights(_unsorted(correct, order_B), _unsorted(total, order_B))


def ordered_pairs(
    prediction_B: Floats, label_B: Floats, weight_B: Floats, group_B: Integers | None = None
) -> PairWeights:
    """Pairs of different labels: XAUC. O(n log n).

    A pair with equal labels has no order and is left out, so that a perfect ranking scores 1
    whatever the ties among labels (some public implementations count such pairs as wrong).
    """
    of_group: tuple[Integers, ...] = () if group_B is None else (group_B,)
    by_prediction_B = np.lexsort((-label_B, prediction_B, *of_group))
    position_B = _unsorted(np.arange(len(by_prediction_B)), by_prediction_B)
    # Between groups the two keys run against each other, so that no such pair looks concordant.
    by_label_B = np.lexsort((-position_B, label_B, *(-group for group in of_group)))

    # First, for it is what takes the most memory.
    concordant_B = _concordant_weight(position_B, by_label_B, weight_B)
    all_B = _weight_of_equals(by_prediction_B, weight_B, *of_group)
    same_label_B = _weight_of_equals(by_label_B, weight_B, *of_group, label_B)
    same_prediction_B = _weight_of_equals(by_prediction_B, weight_B, *of_group, prediction_B)
    same_both_B = _weight_of_equals(by_prediction_B, weight_B, *of_group, prediction_B, label_B)
    return PairWeights(
        concordant_B + (same_prediction_B - same_both_B) / 2,
        all_B - same_label_B,
    )


def _concordant_weight(position_B: Integers, by_label_B: Integers, weight_B: Floats) -> Floats:
    """Weight of the rows that lie on the same side of a row by position and by label.

    `position_B` orders by prediction (ties: by falling label) and `by_label_B` lists the rows by
    label (ties: by falling position), so that no tied pair looks concordant. The positions
    are halved again and again: each pair of rows is parted into a left and a right half exactly once,
    and there a running sum along the label order counts it. Padded to a power of two with weight 0.
    """
    num_rows = len(position_B)
    num_levels = max(num_rows - 1, 1).bit_length()
    position = np.arange(1 << num_levels)
    position[:num_rows] = position_B[by_label_B]
    weight = np.zeros(1 << num_levels)
    weight[:num_rows] = weight_B[by_label_B]
    concordant = np.zeros(1 << num_levels)
    for level in reversed(range(num_levels)):
        is_right = (position & (1 << level)) != 0
        left = np.where(is_right, 0.0, weight).reshape(-1, 2 << level)
        right = np.where(is_right, weight, 0.0).reshape(-1, 2 << level)
        right_so_far = right.cumsum(axis=1)
        right_after = right_so_far[:, -1:] - right_so_far
        concordant += np.where(is_right, left.cumsum(axis=1).ravel(), right_after.ravel())
        halves_apart = np.concatenate(
            (
                np.flatnonzero(~is_right).reshape(-1, 1 << level),
                np.flatnonzero(is_right).reshape(-1, 1 << level),
            ),
            axis=1,
        ).ravel()
        position, weight = position[halves_apart], weight[halves_apart]
        concordant = concordant[halves_apart]
    return concordant[position_B]


def _weight_of_equals(order_B: Integers, weight_B: Floats, *keys: np.ndarray) -> Floats:
    """Per row, the weight of all rows with the same keys, its own included; `order_B` sorts by them."""
    starts_B = np.zeros(len(order_B), dtype=np.bool_)
    for key in keys:
        starts_B |= _differs_from_previous(key[order_B])
    begin_B, end_B = _run_bounds(starts_B)
    weight_up_to = _cumulated(weight_B[order_B])
    return _unsorted(weight_up_to[end_B] - weight_up_to[begin_B], order_B)


def _differs_from_previous(values_B: np.ndarray) -> Booleans:
    """Whether a value differs from the one before; the first does not."""
    differs_B = np.zeros(len(values_B), dtype=np.bool_)
    np.not_equal(values_B[1:], values_B[:-1], out=differs_B[1:])
    return differs_B


def _run_bounds(starts_B: Booleans) -> tuple[Integers, Integers]:
    """Begin and end (exclusive) of the run that each row lies in."""
    bounds = np.concatenate(([0], np.flatnonzero(starts_B), [len(starts_B)]))
    run_B = np.cumsum(starts_B)
    return bounds[run_B], bounds[run_B + 1]


def _cumulated(weight_B: Floats) -> Floats:
    """The weight before each row, and at the end the weight of all: (B + 1,)."""
    return np.concatenate(([0.0], np.cumsum(weight_B)))


def _unsorted(sorted_B: NDArray[Entry], order_B: Integers) -> NDArray[Entry]:
    values_B = np.empty_like(sorted_B)
    values_B[order_B] = sorted_B
    return values_B
