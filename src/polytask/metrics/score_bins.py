"""AUC of more rows than memory holds: bins of scores that add up, and how far their AUC can be from the exact one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from polytask.metrics.arrays import Booleans, Floats, Integers

MOST_BINS = 1 << 20
"""Bins are joined where there are more: a million take 25 MB."""

_SIGN = np.uint64(1 << 63)
_BITS = 64


class Bounded(NamedTuple):
    """A value, and the most that it can differ from the exact one."""

    value: float
    bound: float


@dataclass(frozen=True, slots=True, eq=False)
class ScoreBins:
    """The weights of positives and negatives by score, in K ranges of scores that do not overlap.

    A score's key is an unsigned integer in the order of scores. A bin holds the 2^level keys from `first_K`, which is a
    multiple of 2^level; so two bins of different sums are nested or apart, and sums can be added in any order.
    A bin of level 0 is a single score, whose pairs are ties.

    >>> first = ScoreBins.of(np.array([0.2, 0.7]), np.array([False, True]), np.ones(2))
    >>> second = ScoreBins.of(np.array([0.7, 0.9]), np.array([False, False]), np.ones(2))
    >>> (first + second).auc()
    Bounded(value=0.5, bound=0.0)
    """

    first_K: NDArray[np.uint64]
    level_K: NDArray[np.uint8]
    positive_K: Floats
    negative_K: Floats

    @classmethod
    def of(cls, score_B: Floats, is_positive_B: Booleans, weight_B: Floats) -> "ScoreBins":
        """A bin for each score."""
        bins = ScoreBins(
            _keys(score_B),
            np.zeros(len(score_B), np.uint8),
            np.where(is_positive_B, weight_B, 0.0),
            np.where(is_positive_B, 0.0, weight_B),
        )
        return bins._united()

    def __len__(self) -> int:
        return len(self.first_K)

    def __add__(self, other: "ScoreBins") -> "ScoreBins":
        return _joined([self, other])._united()

    def auc(self) -> Bounded:
        """The share of pairs of a positive and a negative that are in order; NaN without a pair.

        Pairs of different bins are known, and those of one bin count one half. That is right for ties. Of a bin of
        several scores each such pair may be in order or not, so that the share is wrong by half of these pairs at most.
        """
        num_pairs = float(self.positive_K.sum() * self.negative_K.sum())
        if not num_pairs:
            return Bounded(np.nan, 0.0)
        below_K = np.cumsum(self.negative_K) - self.negative_K / 2
        unknown = float((self.positive_K * self.negative_K)[self.level_K > 0].sum())
        share = float((self.positive_K * below_K).sum()) / num_pairs
        return Bounded(share, unknown / num_pairs / 2)

    def coarsened(self, most: int) -> "ScoreBins":
        """At most so many bins. They are joined by weight: no joined one is heavier than it has to be."""
        bins, heaviest = self, float(self.positive_K.sum() + self.negative_K.sum()) / most
        while len(bins) > most:
            bins, heaviest = bins._lighter_joined(heaviest), 2 * heaviest
        return bins

    def _at(self, chosen: Booleans | Integers) -> "ScoreBins":
        return ScoreBins(
            self.first_K[chosen],
            self.level_K[chosen],
            self.positive_K[chosen],
            self.negative_K[chosen],
        )

    def _united(self) -> "ScoreBins":
        """With one bin where several are nested, from any order."""
        # Stable: of two sums one after the other it is a merge.
        bins = self._at(np.argsort(self.first_K, kind="stable"))
        last_K = bins.first_K | ((np.uint64(1) << bins.level_K) - np.uint64(1))
        is_first_K = np.ones(len(bins), np.bool_)
        is_first_K[1:] = bins.first_K[1:] > np.maximum.accumulate(last_K)[:-1]
        return bins._summed(np.flatnonzero(is_first_K))

    def _summed(self, starts: Integers) -> "ScoreBins":
        """A bin for each run from one of `starts` to the next, of the first one's key and the highest level."""
        return ScoreBins(
            self.first_K[starts],
            np.maximum.reduceat(self.level_K, starts),
            np.add.reduceat(self.positive_K, starts),
            np.add.reduceat(self.negative_K, starts),
        )

    def _lighter_joined(self, heaviest: float) -> "ScoreBins":
        """All bins of a range of 2^level keys are joined, level by level, where they weigh no more than that together."""
        return _joined(list(self._final(heaviest)))._united()

    def _final(self, heaviest: float) -> Iterator["ScoreBins"]:
        """The bins after joining, in no order. What lies in a range that is too heavy stays as it is; a wall takes its place."""
        bins = self
        while len(bins) > 1:
            # The next level at which two bins lie in one range.
            apart = int((bins.first_K[1:] ^ bins.first_K[:-1]).min())
            level = apart.bit_length()
            if level == _BITS:
                break
            range_K = bins.first_K >> np.uint64(level)
            starts = np.flatnonzero(np.concatenate(([True], range_K[1:] != range_K[:-1])))
            sizes = np.diff(starts, append=len(bins))
            joined = bins._summed(starts)
            is_heavy = joined.positive_K + joined.negative_K > heaviest
            yield bins._at(np.repeat(is_heavy, sizes))._without_walls()
            is_new = sizes > 1
            joined.first_K[is_new] = range_K[starts][is_new] << np.uint64(level)
            joined.level_K[is_new] = level
            joined.positive_K[is_heavy] = np.inf
            bins = joined
        yield bins._without_walls()

    def _without_walls(self) -> "ScoreBins":
        return self._at(np.isfinite(self.positive_K))


def _joined(parts: Sequence[ScoreBins]) -> ScoreBins:
    return ScoreBins(
        np.concatenate([part.first_K for part in parts]),
        np.concatenate([part.level_K for part in parts]),
        np.concatenate([part.positive_K for part in parts]),
        np.concatenate([part.negative_K for part in parts]),
    )


def _keys(score_B: Floats) -> NDArray[np.uint64]:
    """The bits of a float64, turned so that they are in the order of the numbers; 0 and -0 are one."""
    bits_B = (score_B + 0.0).view(np.uint64)
    return np.where(bits_B & _SIGN, ~bits_B, bits_B | _SIGN)
