"""One metric over all parts of the rows: of sums, of bins of scores, or the mean over the parts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from polytask.metrics.arrays import Floats
from polytask.metrics.definition import Definition, OneAgainstRest
from polytask.metrics.rows import Rows
from polytask.metrics.score_bins import MOST_BINS, Bounded, ScoreBins
from polytask.metrics.statistic import UNDEFINED, OfSums, Statistic

Spread: TypeAlias = float | Floats | None
"""Of one part: the standard error where it has a closed form, else sums (R, K) or values (R,) on resamples."""


@dataclass(slots=True, eq=False)
class Sums:
    """The sums of all parts, and those of resamples of every part."""

    last: OfSums | None = None
    sums_K: Floats | float = 0.0
    sums_RK: Floats | float = 0.0
    is_undefined: bool = False

    def add(self, rows: Rows, statistic: Statistic, spread: Spread) -> None:
        self.is_undefined = self.is_undefined or statistic is UNDEFINED
        assert isinstance(statistic, OfSums)
        if self.is_undefined:
            return
        self.last = statistic
        self.sums_K = self.sums_K + statistic.terms_KU.sum(axis=1)
        self.sums_RK = self.sums_RK + (0.0 if spread is None else spread)

    @property
    def value(self) -> float:
        if self.is_undefined or self.last is None:
            return np.nan
        return float(self.last.finished(np.asarray(self.sums_K)[None])[0])

    @property
    def bound(self) -> float:
        return 0.0

    @property
    def values_R(self) -> Floats | None:
        if self.last is None or isinstance(self.sums_RK, float):
            return None
        return self.last.finished(self.sums_RK)

    @property
    def weight(self) -> float:
        return np.nan

    @property
    def error(self) -> float:
        return 0.0


@dataclass(slots=True, eq=False)
class MeanOfParts:
    """The mean of one statistic over parts by their weights; its error, or its values on resamples of every part."""

    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    totals_R: Floats | None = None
    by_part: list[float] = field(default_factory=list)

    def add(self, rows: Rows, statistic: Statistic, spread: Spread) -> None:
        if np.isnan(statistic.value):
            return
        weight = float(rows.weight_B.sum())
        self.by_part.append(statistic.value)
        self.weight += weight
        self.total += weight * statistic.value
        if isinstance(spread, float):
            self.squares += (weight * spread) ** 2
        elif spread is not None:
            before: Floats | float = 0.0 if self.totals_R is None else self.totals_R
            self.totals_R = before + weight * spread

    @property
    def value(self) -> float:
        return self.total / self.weight if self.weight else np.nan

    @property
    def bound(self) -> float:
        return 0.0

    @property
    def error(self) -> float:
        """The standard error; NaN where it is not known."""
        return float(np.sqrt(self.squares)) / self.weight if self.weight else np.nan

    @property
    def values_R(self) -> Floats | None:
        return None if self.totals_R is None else self.totals_R / self.weight


@dataclass(slots=True, eq=False)
class Binned:
    """The AUC of all rows, or the mean AUC of their classes, from bins of scores; its error is that of the mean over parts."""

    classes: Callable[[Rows], Iterable[OneAgainstRest]]
    most_bins: int
    mean: MeanOfParts = field(default_factory=MeanOfParts)
    bins: dict[int, ScoreBins] = field(default_factory=dict)

    def add(self, rows: Rows, statistic: Statistic, spread: Spread) -> None:
        self.mean.add(rows, statistic, spread)
        classes = list(self.classes(rows))
        for each in classes:
            found = ScoreBins.of(each.score_B, each.is_class_B, rows.weight_B)
            before = self.bins.get(each.label)
            whole = found if before is None else before + found
            self.bins[each.label] = whole.coarsened(max(self.most_bins // len(classes), 2))

    @property
    def _found(self) -> Bounded:
        aucs = [each for each in (bins.auc() for bins in self.bins.values()) if each.value >= 0]
        value, bound = np.mean(aucs, axis=0).tolist() if aucs else (np.nan, 0.0)
        return Bounded(value, bound)

    @property
    def value(self) -> float:
        return self._found.value

    @property
    def bound(self) -> float:
        return self._found.bound

    @property
    def weight(self) -> float:
        return self.mean.weight

    @property
    def error(self) -> float:
        return self.mean.error

    @property
    def values_R(self) -> Floats | None:
        """Resamples of the parts, about the value of all rows."""
        values_R = self.mean.values_R
        if values_R is None:
            return None
        shifted_R: Floats = (values_R + (self.value - self.mean.value)).clip(0, 1)
        return shifted_R


Whole: TypeAlias = Sums | MeanOfParts | Binned


def whole_of(definition: Definition) -> Whole:
    """An empty one of the metric."""
    if definition.adds_up:
        return Sums()
    if definition.classes is not None:
        return Binned(definition.classes, MOST_BINS)
    return MeanOfParts()
