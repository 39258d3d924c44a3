"""Gains that were measured under several seeds: their means and intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polytask.records import Gain

NORMAL = 1.959963984540054
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
        quantile = _quantile_of_t(degrees) if math.isfinite(degrees) else NORMAL
        reach = quantile * math.sqrt(total)
    return Gain(each.metric, each.mean, each.mean - reach, each.mean + reach)


def _quantile_of_t(degrees: float) -> float:
    # Not scipy.stats, which takes a second to import.
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))
