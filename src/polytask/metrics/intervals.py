"""95 % intervals: from a sampling error in closed form, or from resamples."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from polytask.errors import UserError
from polytask.metrics.arrays import Floats
from polytask.metrics.statistic import Statistic

_LEVEL = 0.95
_TAIL = (1 - _LEVEL) / 2
_QUANTILE = NormalDist().inv_cdf(1 - _TAIL)

_LEAST_RESAMPLES = 40
"""With fewer there is no 2.5 % quantile."""

_LEAST_DEFINED = 0.9
"""Share of the resamples on which a metric must be defined."""

_CELLS_AT_ONCE = 1 << 21
"""Counts drawn at once: 16 MB."""


class Interval(NamedTuple):
    """A 95 % interval.

    >>> low, high = Interval(0.71, 0.74)
    >>> low < high
    True
    """

    low: float
    high: float


def interval_of_share(value: float, influence_U: Floats) -> Interval | None:
    """Normal interval on the logit scale, where an AUC near 1 is less skewed and stays below 1.

    Source: Pepe, The Statistical Evaluation of Medical Tests, 2003, section 5.2.
    None where the error is not known: at 0 or 1 exactly, or with one row of a class.
    """
    error = float(np.linalg.norm(influence_U))
    if not (0 < value < 1 and error > 0 and np.isfinite(error)):
        return None
    logit = np.log(value / (1 - value))
    half_width = _QUANTILE * error / (value * (1 - value))
    low, high = 1 / (1 + np.exp(-(logit + np.array([-half_width, half_width]))))
    return Interval(float(low), float(high))


def interval_of_difference(value: float, influence_U: Floats) -> Interval | None:
    """Normal interval of a difference of two shares; None where the error is not known."""
    half_width = _QUANTILE * float(np.linalg.norm(influence_U))
    if not np.isfinite(half_width):
        return None
    return Interval(value - half_width, value + half_width)


def interval_of_resamples(values_R: Floats) -> Interval | None:
    """Percentile interval; None where more than a tenth of the resamples lack the metric.

    Quantiles at rank p (R + 1): the usual rank 1 + p (R - 1) would cover 94 % with 200 resamples.
    """
    defined = values_R[np.isfinite(values_R)]
    if len(defined) < max(_LEAST_DEFINED * len(values_R), _LEAST_RESAMPLES):
        return None
    low, high = np.quantile(defined, [_TAIL, 1 - _TAIL], method="weibull")
    return Interval(float(low), float(high))


def resample(
    statistics: Sequence[Statistic], num_units: int, *, num_resamples: int, seed: int
) -> Floats:
    """Values (S, R) of the statistics on the same resamples of units (rows or whole groups).

    Each resample draws `num_units` units with replacement: multinomial counts, no sorting.
    """
    if num_resamples < _LEAST_RESAMPLES:
        raise UserError(f"{num_resamples=} gives no 95 % interval; use {_LEAST_RESAMPLES} or more")
    generator = np.random.default_rng(seed)
    values_SR = np.empty((len(statistics), num_resamples))
    chunk = max(1, _CELLS_AT_ONCE // num_units)
    for begin in range(0, num_resamples, chunk):
        end = min(begin + chunk, num_resamples)
        counts_RU = np.empty((end - begin, num_units))
        for counts_U in counts_RU:
            drawn_U = generator.integers(num_units, size=num_units, dtype=np.uint32)
            counts_U[:] = np.bincount(drawn_U, minlength=num_units)
        for values_R, statistic in zip(values_SR, statistics):
            values_R[begin:end] = statistic.values(counts_RU)
    return values_SR
