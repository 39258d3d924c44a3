"""What predicts gains, and how much of the best of many is luck."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from polytask.metrics.repeated import NORMAL
from polytask.metrics.repeated import Measured as Measured
from polytask.metrics.repeated import with_intervals as with_intervals
from polytask.records import Gain


def shrunk(gain: Gain) -> float:
    """The gain without what chance may have added: (1 - 1/t^2) of it, 0 where t is below 1.

    James and Stein's positive part (1961), with t the gain in standard errors: the best of many gains
    would otherwise be the luckiest. 0 without an interval.

    >>> round(shrunk(Gain("auc", 0.02, 0.0, 0.04)), 4), shrunk(Gain("auc", 0.01, -0.03, 0.05))
    (0.0148, 0.0)
    """
    if gain.low is None or gain.high is None:
        return 0.0
    error = (gain.high - gain.low) / 2 / NORMAL
    if gain.value == 0 or error >= abs(gain.value):
        return 0.0
    return gain.value * (1 - (error / gain.value) ** 2)


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Spearman's correlation of `num_points` points, with its 95 % interval; None where undefined."""

    num_points: int
    value: float | None = None
    low: float | None = None
    high: float | None = None


def rank_correlation(
    scores: ArrayLike, gains: ArrayLike, *, num_independent: int | None = None
) -> RankCorrelation:
    """Whether a score orders gains as they were measured.

    The interval is Bonett and Wright's (Psychometrika 2000): Fisher's z with variance
    (1 + r^2 / 2) / (n - 3). `num_independent` is n where points are not independent, such as the two
    directions of a pair. Up to 3 points say nothing: the interval is [-1, 1].

    >>> rank_correlation([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]).value
    0.7999999999999999
    """
    pairs = np.asarray([(a, b) for a, b in zip(scores, gains) if np.isfinite([a, b]).all()])  # type: ignore[arg-type]
    if len(pairs) < 2 or (np.ptp(pairs, axis=0) == 0).any():
        return RankCorrelation(len(pairs))
    value = float(stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
    number = min(num_independent or len(pairs), len(pairs))
    if number <= 3:
        return RankCorrelation(len(pairs), value, -1.0, 1.0)
    middle = math.atanh(min(max(value, -0.999999), 0.999999))
    reach = NORMAL * math.sqrt((1 + value**2 / 2) / (number - 3))
    return RankCorrelation(len(pairs), value, math.tanh(middle - reach), math.tanh(middle + reach))
