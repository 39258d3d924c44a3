"""Metrics of more rows than memory holds: means over random parts of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from polytask.metrics.arrays import Floats
from polytask.metrics.definitions import Definition, Scored
from polytask.metrics.evaluate import evaluate
from polytask.metrics.intervals import (
    Draws,
    Interval,
    interval_of_difference,
    interval_of_resamples,
    interval_of_share,
    resample,
)
from polytask.metrics.rows import Rows, read_rows
from polytask.metrics.spaces import LabelSpace
from polytask.metrics.statistic import Statistic
from polytask.records import Evaluation, Gain

_NUM_RESAMPLES = 200


@dataclass(frozen=True, slots=True, eq=False)
class PartRows:
    """One part's arguments of `evaluate`."""

    predictions: ArrayLike
    labels: ArrayLike
    weights: ArrayLike | None = None
    groups: ArrayLike | None = None

    def read(self, kind: Scored) -> Rows:
        """The labelled rows."""
        space = kind.space
        return read_rows(
            space, self.predictions, self.labels, weights=self.weights, groups=self.groups
        )


@dataclass(slots=True, eq=False)
class _Mean:
    """The mean of one statistic over parts; its error, or its values on resamples of every part."""

    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    totals_R: Floats | None = None

    def add(self, weight: float, statistic: Statistic, spread: "float | Floats | None") -> None:
        self.weight += weight
        self.total += weight * statistic.value
        if isinstance(spread, float):
            self.squares += (weight * spread) ** 2
        elif spread is not None:
            before: Floats | float = 0.0 if self.totals_R is None else self.totals_R
            self.totals_R = before + weight * spread

    @property
    def value(self) -> float:
        return self.total / self.weight

    @property
    def error(self) -> Floats:
        """As influences have it: a vector whose length is the standard error."""
        return np.array([np.sqrt(self.squares) / self.weight])

    @property
    def values_R(self) -> Floats | None:
        return None if self.totals_R is None else self.totals_R / self.weight


def evaluate_parts(
    kind: Scored, parts: Iterable[PartRows], *, intervals: bool = True, seed: int = 0
) -> Evaluation:
    """`evaluate` of rows that come in random parts, of whole groups where there are groups.

    Every metric is the mean over the parts, by the weights of their rows. Means of rows are those of all
    rows exactly. Of pairs of rows, such as AUC, it is the share among the pairs within parts: it has
    the same expectation as among all pairs, and its sampling error differs in the order of one over the
    rows of a part. Errors of parts are independent: intervals are made of their squares, or of one
    resample of each.

    >>> from polytask.kinds import Binary
    >>> part = PartRows([0.2, 0.4, 0.3], [0.0, 1.0, 1.0])
    >>> evaluation = evaluate_parts(Binary(), [part, part], intervals=False)
    >>> evaluation["auc"].value, evaluation.num_rows
    (1.0, 6)
    """
    wholes: list[Evaluation] = []
    means: dict[str, _Mean] = {}
    for place, part in enumerate(parts):
        rows = part.read(kind)
        wholes.append(_without_metrics(kind, part))
        if not len(rows):
            continue
        found = _statistics(kind.metrics, rows)
        spreads: Sequence[float | Floats | None] = [None] * len(found)
        if intervals:
            spreads = _spreads([s for _, s in found], rows, seed=seed + place)
        for (definition, statistic), spread in zip(found, spreads):
            mean = means.setdefault(definition.name, _Mean())
            mean.add(float(rows.weight_B.sum()), statistic, spread)
    known = [(each, means[each.name]) for each in kind.metrics if each.name in means]
    metrics = tuple(d.record(m.value, _interval(m) if intervals else None) for d, m in known)
    whole = _joined(wholes)
    absent = [
        f"no {each.name}: {each.absent_if}"
        for each in kind.metrics
        if whole.num_rows
        and each.name not in means
        and not (each.needs_groups and whole.num_groups is None)
    ]
    return replace(whole, metrics=metrics, notes=(*whole.notes, *absent))


def compare_parts(
    kind: Scored, pairs: Iterable[tuple[PartRows, PartRows]], *, seed: int = 0
) -> tuple[Gain, ...]:
    """`compare` of two models on such parts: pairs of the one's and the other's on the same rows."""
    means: dict[str, _PairOfMeans] = {}
    for place, (part_a, part_b) in enumerate(pairs):
        rows_a, rows_b = part_a.read(kind), part_b.read(kind)
        if not len(rows_a):
            continue
        found_b = {d.name: s for d, s in _statistics(kind.metrics, rows_b)}
        found = [(d, s) for d, s in _statistics(kind.metrics, rows_a) if d.name in found_b]
        both = [s for d, a in found for s in (a, found_b[d.name])]
        spreads = _spreads(both, rows_a, seed=seed + place)
        weight = float(rows_a.weight_B.sum())
        for (d, a), spread_a, spread_b in zip(found, spreads[::2], spreads[1::2]):
            pair, b = means.setdefault(d.name, _PairOfMeans()), found_b[d.name]
            pair.a.add(weight, a, spread_a)
            pair.b.add(weight, b, spread_b)
            if a.influence_U is not None and b.influence_U is not None:
                error = float(np.linalg.norm(a.influence_U - b.influence_U))
                pair.squares += (weight * error) ** 2
    return tuple(means[d.name].gain(d) for d in kind.metrics if d.name in means)


@dataclass(slots=True, eq=False)
class _PairOfMeans:
    """The means of two models over the same parts, and the squared errors of their difference."""

    a: _Mean = field(default_factory=_Mean)
    b: _Mean = field(default_factory=_Mean)
    squares: float = 0.0

    def gain(self, definition: Definition) -> Gain:
        value = float(definition.advantage(np.asarray(self.a.value), np.asarray(self.b.value)))
        values_a, values_b = self.a.values_R, self.b.values_R
        if values_a is not None and values_b is not None:
            interval = interval_of_resamples(definition.advantage(values_a, values_b))
        else:
            error = np.array([np.sqrt(self.squares) / self.a.weight])
            interval = interval_of_difference(value, error)
        # Without spread a gain other than 0 is not known exactly.
        is_point = interval is not None and interval.low == interval.high
        known = None if is_point and value else interval
        return Gain(definition.name, value, *(known or (None, None)))


def _statistics(
    definitions: Iterable[Definition], rows: Rows
) -> list[tuple[Definition, Statistic]]:
    """What these rows define."""
    found = [(each, each.statistic(rows)) for each in definitions if each.is_taken(rows)]
    return [
        (definition, statistic) for definition, statistic in found if not np.isnan(statistic.value)
    ]


def _spreads(
    statistics: Sequence[Statistic], rows: Rows, *, seed: int
) -> list[float | Floats | None]:
    """The standard error of each where it has a closed form, else its values on the same resamples."""
    influences = [statistic.influence_U for statistic in statistics]
    drawn = [s for s, influence_U in zip(statistics, influences) if influence_U is None]
    draws = Draws(num_resamples=_NUM_RESAMPLES, seed=seed)
    values = iter(resample(drawn, rows.num_units, draws))
    return [
        next(values) if influence_U is None else float(np.linalg.norm(influence_U))
        for influence_U in influences
    ]


def _interval(mean: _Mean) -> Interval | None:
    if mean.values_R is None:
        return interval_of_share(mean.value, mean.error)
    interval = interval_of_resamples(mean.values_R)
    return None if interval is None or interval.low == interval.high else interval


def _without_metrics(kind: Scored, part: PartRows) -> Evaluation:
    """How many rows and labels there are, and what is to be said of them."""
    return evaluate(
        _NoMetrics(kind), part.predictions, part.labels, weights=part.weights, groups=part.groups
    )


@dataclass(frozen=True, slots=True)
class _NoMetrics:
    kind: Scored
    metrics: tuple[Definition, ...] = ()

    @property
    def space(self) -> LabelSpace:
        return self.kind.space


def _joined(parts: Sequence[Evaluation]) -> Evaluation:
    """The counts of all parts."""
    first = parts[0]
    rows = [part.num_rows for part in parts]
    labels = [part.mean_label or 0.0 for part in parts]
    notes = list(dict.fromkeys(note for part in parts for note in part.notes))
    if len(parts) > 1:
        notes.append(
            f"means over {len(parts)} random parts of {sum(rows):,} rows, which are more than are sorted at once"
        )
    return replace(
        first,
        num_rows=sum(rows),
        num_unlabelled=sum(part.num_unlabelled for part in parts),
        num_positive=_sum(part.num_positive for part in parts),
        mean_label=None if first.mean_label is None else float(np.average(labels, weights=rows)),
        num_groups=_sum(part.num_groups for part in parts),
        num_group_rows=_sum(part.num_group_rows for part in parts),
        notes=tuple(notes),
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
