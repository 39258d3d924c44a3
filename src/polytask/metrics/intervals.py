"""95 % intervals: from a sampling error in closed form, or from resamples."""

from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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

_MOST_KEPT, _LARGEST_BYTE = 1 << 28, 255


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


class Draws:
    """Resamples that are drawn once for all that have as many units: tasks on the same rows, models beside each other.

    A resample draws `num_units` units with replacement: multinomial counts, no sorting. They are kept as
    bytes, up to 256 MB of them; of more units each pass draws them anew, and finds the same.
    """

    def __init__(self, *, num_resamples: int = 200, seed: int = 0) -> None:
        if num_resamples < _LEAST_RESAMPLES:
            raise UserError(
                f"{num_resamples=} gives no 95 % interval; use {_LEAST_RESAMPLES} or more"
            )
        self.num_resamples, self.seed = num_resamples, seed
        self._kept: NDArray[np.uint8] | None = None

    def counts(self, num_units: int) -> Iterator[tuple[slice, Floats]]:
        """Which resamples, and how often each unit is in them (R, U), some at a time."""
        chunk = max(1, _CELLS_AT_ONCE // num_units)
        chosen = [
            slice(begin, min(begin + chunk, self.num_resamples))
            for begin in range(0, self.num_resamples, chunk)
        ]
        kept = self._kept
        if kept is not None and kept.shape[1] == num_units:
            yield from ((some, kept[some].astype(np.float64)) for some in chosen)
            return
        is_small = self.num_resamples * num_units <= _MOST_KEPT
        drawn = np.empty((self.num_resamples, num_units), np.uint8) if is_small else None
        generator = np.random.default_rng(self.seed)
        for some in chosen:
            counts_RU = np.empty((some.stop - some.start, num_units))
            for counts_U in counts_RU:
                drawn_U = generator.integers(num_units, size=num_units, dtype=np.uint32)
                counts_U[:] = np.bincount(drawn_U, minlength=num_units)
            if drawn is not None and counts_RU.max() <= _LARGEST_BYTE:
                drawn[some] = counts_RU
            else:
                drawn = None
            yield some, counts_RU
        self._kept = drawn


def resample(statistics: Sequence[Statistic], num_units: int, draws: Draws) -> Floats:
    """Values (S, R) of the statistics on the same resamples of units (rows or whole groups)."""
    values_SR = np.empty((len(statistics), draws.num_resamples))
    if statistics:
        for some, counts_RU in draws.counts(num_units):
            for values_R, statistic in zip(values_SR, statistics):
                values_R[some] = statistic.values(counts_RU)
    return values_SR
