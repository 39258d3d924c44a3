"""Gains that were measured several times: their means, intervals, and what predicts them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from polytask.records import Gain

_NORMAL = 1.959963984540054
"""Half the width of a 95 % interval in deviations."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One task's gain of one set of trainings over another: a value a seed.

    `row_error` is the standard error that comes from which rows were scored, the same for all seeds;
    None where the rows do not show it. `metric` names what is gained in.
    """

    task: str
    metric: str
    values: tuple[float, ...]
    row_error: float | None

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))


def with_intervals(measured: Sequence[Measured]) -> list[Gain]:
    """Means over seeds with 95 % intervals.

    Two things vary: which rows are scored, and what a seed brings. The variance of the mean is that
    of rows plus that of seeds over their number. The spread of seeds is pooled over all gains of a
    task in the list, since two or three seeds alone do not show it; with one seed it is not
    known, and the interval is that of rows alone. Degrees of freedom: Welch and Satterthwaite.

    >>> [gain] = with_intervals([Measured("click", "auc", (0.01, 0.03), 0.0)])
    >>> round(gain.value, 3), round(gain.low, 2), round(gain.high, 2)
    (0.02, -0.11, 0.15)
    """
    spreads = {task: _spread(measured, task) for task in {each.task for each in measured}}
    return [_with_interval(each, *spreads[each.task]) for each in measured]


def shrunk(gain: Gain) -> float:
    """The gain without what chance may have added: (1 - 1/t^2) of it, 0 where t is below 1.

    James and Stein's positive part (1961), with t the gain in standard errors: the best of many gains
    would otherwise be the luckiest. 0 without an interval.

    >>> round(shrunk(Gain("auc", 0.02, 0.0, 0.04)), 4), shrunk(Gain("auc", 0.01, -0.03, 0.05))
    (0.0148, 0.0)
    """
    if gain.low is None or gain.high is None:
        return 0.0
    error = (gain.high - gain.low) / 2 / _NORMAL
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
    reach = _NORMAL * math.sqrt((1 + value**2 / 2) / (number - 3))
    return RankCorrelation(len(pairs), value, math.tanh(middle - reach), math.tanh(middle + reach))


def _spread(measured: Sequence[Measured], task: str) -> tuple[float, int]:
    """The variance between seeds of a task's gains, and its degrees of freedom."""
    known = [np.asarray(each.values) for each in measured if each.task == task]
    freedom = sum(len(values) - 1 for values in known)
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in known)
    return (squares / freedom if freedom else 0.0), freedom


def _with_interval(each: Measured, variance: float, freedom: int) -> Gain:
    of_seeds = variance / len(each.values)
    of_rows = 0.0 if each.row_error is None else each.row_error**2
    if freedom == 0 and each.row_error is None:
        return Gain(each.metric, each.mean)
    total = of_seeds + of_rows
    reach = 0.0
    if total > 0:
        degrees = freedom * (total / of_seeds) ** 2 if of_seeds > 0 else math.inf
        quantile = float(stats.t.ppf(0.975, degrees)) if math.isfinite(degrees) else _NORMAL
        reach = quantile * math.sqrt(total)
    return Gain(each.metric, each.mean, each.mean - reach, each.mean + reach)
