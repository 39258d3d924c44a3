"""A metric on fixed rows, in a form whose sampling error is cheap to find."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from polytask.metrics.arrays import Booleans, Floats, Integers
from polytask.metrics.ranking import PairWeights
from polytask.metrics.rows import Rows


class Statistic(ABC):
    """A metric's value, and its values on resamples. NaN: not defined on these rows.

    A resample is the count of each unit (a row, or a group of rows) in it; counts are (R, U).
    """

    @property
    @abstractmethod
    def value(self) -> float:
        """The metric on the rows as they are."""

    @abstractmethod
    def values(self, counts_RU: Floats) -> Floats:
        """The metric on each resample (R,)."""

    @property
    def influence_U(self) -> Floats | None:
        """What each unit adds to the sampling error; its length (2-norm) is the standard error.

        None where there is no such form and the statistic must be resampled.
        """
        return None


@dataclass(frozen=True, slots=True, eq=False)
class OfSums(Statistic):
    """A function of sums over units: `finish` maps sums (R, K) to values (R,)."""

    terms_KU: Floats
    finish: Callable[[Floats], Floats]

    @property
    def value(self) -> float:
        return float(self.finished(self.terms_KU.sum(axis=1)[None])[0])

    def values(self, counts_RU: Floats) -> Floats:
        return self.finished(self.sums(counts_RU))

    def sums(self, counts_RU: Floats) -> Floats:
        """The sums of each resample (R, K): those of several parts add up to those of all rows."""
        # Not `@`: BLAS wakes its threads for this, which costs far more on busy cores than it saves.
        sums_RK: Floats = np.einsum("ru,ku->rk", counts_RU, self.terms_KU)
        return sums_RK

    def finished(self, sums_RK: Floats) -> Floats:
        """The metric of each row of sums (R,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            values_R = self.finish(sums_RK)
        return np.where(np.isfinite(values_R), values_R, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Projected(Statistic):
    """A share of pairs with its sampling error in closed form; on resamples, its linearisation."""

    share: float
    errors_U: Floats

    @property
    def value(self) -> float:
        return self.share

    def values(self, counts_RU: Floats) -> Floats:
        return self.share + (counts_RU - 1) @ self.errors_U

    @property
    def influence_U(self) -> Floats | None:
        return self.errors_U


@dataclass(frozen=True, slots=True, eq=False)
class PresortedAuc(Statistic):
    """AUC on whole groups resampled, O(B) a resample: the rows are sorted once, here.

    `num_below_M` and `num_up_to_M`: for each of M positives, how many of the N sorted negatives score
    less, and no more.
    """

    unit_of_positive_M: Integers
    unit_of_negative_N: Integers
    weight_of_positive_M: Floats
    weight_of_negative_N: Floats
    num_below_M: Integers
    num_up_to_M: Integers

    @property
    def value(self) -> float:
        num_units = 1 + max(
            self.unit_of_positive_M.max(initial=0), self.unit_of_negative_N.max(initial=0)
        )
        return float(self.values(np.ones((1, num_units)))[0])

    def values(self, counts_RU: Floats) -> Floats:
        return np.array([self._value(counts_U) for counts_U in counts_RU])

    def _value(self, counts_U: Floats) -> float:
        positive_M = counts_U[self.unit_of_positive_M] * self.weight_of_positive_M
        negative_N = counts_U[self.unit_of_negative_N] * self.weight_of_negative_N
        negative_up_to = np.zeros(len(negative_N) + 1)
        np.cumsum(negative_N, out=negative_up_to[1:])
        beaten_M = negative_up_to[self.num_below_M] + negative_up_to[self.num_up_to_M]
        num_pairs = float(positive_M.sum() * negative_up_to[-1])
        # Not `@`, as above.
        num_correct = float((positive_M * beaten_M).sum()) / 2
        return num_correct / num_pairs if num_pairs > 0 else np.nan


def presorted_auc(score_B: Floats, is_positive_B: Booleans, rows: Rows) -> PresortedAuc:
    """AUC ready to be resampled by the rows' units."""
    unit_B = np.arange(len(score_B)) if rows.group_B is None else rows.group_B
    positives = np.flatnonzero(is_positive_B)
    negatives = np.flatnonzero(~is_positive_B)
    # Positives in order too: the look-ups then run through memory in one direction.
    positives = positives[np.argsort(score_B[positives])]
    negatives = negatives[np.argsort(score_B[negatives])]
    sorted_negatives = score_B[negatives]
    return PresortedAuc(
        unit_of_positive_M=unit_B[positives],
        unit_of_negative_N=unit_B[negatives],
        weight_of_positive_M=rows.weight_B[positives],
        weight_of_negative_N=rows.weight_B[negatives],
        num_below_M=np.searchsorted(sorted_negatives, score_B[positives], side="left"),
        num_up_to_M=np.searchsorted(sorted_negatives, score_B[positives], side="right"),
    )


def projected_share(pairs: PairWeights, rows: Rows, *, label_class_B: Booleans | None) -> Projected:
    """Share of correct pairs; its error is that of the first-order projection of a U-statistic.

    Without groups and with `label_class_B` (positive or not) this is DeLong's variance of an AUC
    (DeLong et al., Biometrics 1988), with the factors m / (m - 1) of its two classes; for XAUC, a
    ratio of two U-statistics, it is the delta method. Errors are summed within groups before they are
    squared, as Obuchowski, Biometrics 1997, does for clustered AUC. Weights are taken as fixed.
    """
    total = float(rows.weight_B @ pairs.total_B)
    share = float(rows.weight_B @ pairs.correct_B) / total
    error_B = 2 * rows.weight_B * (pairs.correct_B - share * pairs.total_B) / total
    if rows.group_B is not None or label_class_B is None:
        error_U = rows.per_unit(error_B)[0]
        return Projected(share, error_U * _small_sample_factor(np.array([rows.num_units])))
    factor_2 = _small_sample_factor(np.bincount(label_class_B, minlength=2))
    return Projected(share, error_B * factor_2[label_class_B.astype(np.intp)])


def _small_sample_factor(num_K: Integers) -> Floats:
    """sqrt(n / (n - 1)); NaN where one unit alone says nothing of the spread."""
    ratio_K = np.divide(num_K, num_K - 1, out=np.full(len(num_K), np.nan), where=num_K > 1)
    root_K: Floats = np.sqrt(ratio_K)
    return root_K


def share_within_groups(pairs: PairWeights, rows: Rows, is_mixed_G: Booleans) -> OfSums:
    """Mean over groups of each group's share of correct pairs, weighted by the group's rows.

    Groups whose labels are all equal have no pair and are left out.
    """
    weight_B = rows.weight_B
    correct_G, total_G, weight_G = rows.per_unit(
        weight_B * pairs.correct_B, weight_B * pairs.total_B, weight_B
    )
    share_G = np.divide(correct_G, total_G, out=np.zeros_like(total_G), where=is_mixed_G)
    used_G = np.where(is_mixed_G, weight_G, 0.0)
    return OfSums(np.stack((used_G * share_G, used_G)), ratio)


def ratio(sums_RK: Floats) -> Floats:
    """First sum over second."""
    return sums_RK[:, 0] / sums_RK[:, 1]


UNDEFINED = OfSums(np.zeros((2, 1)), ratio)
"""A metric that these rows do not define: its value is 0 / 0."""
