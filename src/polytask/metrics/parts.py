"""Metrics of more rows than memory holds, from random parts of them: sums are added up, shares of pairs averaged."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from polytask.metrics.arrays import Floats
from polytask.metrics.definitions import UNDEFINED, Definition, Scored
from polytask.metrics.evaluate import evaluate
from polytask.metrics.intervals import (
    Draws,
    Interval,
    interval_of_difference,
    interval_of_resamples,
    interval_of_share,
)
from polytask.metrics.rows import Rows, read_rows
from polytask.metrics.spaces import LabelSpace
from polytask.metrics.statistic import OfSums, Statistic
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
class _Sums:
    """The sums of all parts, and those of resamples of every part."""

    last: OfSums | None = None
    sums_K: Floats | float = 0.0
    sums_RK: Floats | float = 0.0
    is_undefined: bool = False

    def add(self, weight: float, statistic: Statistic, spread: "float | Floats | None") -> None:
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
    def values_R(self) -> Floats | None:
        if self.last is None or isinstance(self.sums_RK, float):
            return None
        return self.last.finished(self.sums_RK)

    @property
    def error(self) -> Floats:
        return np.zeros(1)


@dataclass(slots=True, eq=False)
class _Mean:
    """The mean of one statistic over parts; its error, or its values on resamples of every part."""

    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    totals_R: Floats | None = None
    by_part: list[float] = field(default_factory=list)

    def add(self, weight: float, statistic: Statistic, spread: "float | Floats | None") -> None:
        if np.isnan(statistic.value):
            return
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
    def error(self) -> Floats:
        """As influences have it: a vector whose length is the standard error."""
        return np.array([np.sqrt(self.squares) / self.weight])

    @property
    def values_R(self) -> Floats | None:
        return None if self.totals_R is None else self.totals_R / self.weight


_Whole = _Sums | _Mean


def _whole_of(definition: Definition) -> _Whole:
    return _Sums() if definition.adds_up else _Mean()


def evaluate_parts(
    kind: Scored, parts: Iterable[PartRows], *, intervals: bool = True, seed: int = 0
) -> Evaluation:
    """`evaluate` of rows that come in random parts, of whole groups where there are groups.

    What is a function of sums over rows or groups (log-loss, RMSE, R2, GAUC and others) is that of all rows exactly:
    the sums of the parts are added up. What compares pairs of rows, such as AUC, is the mean over the parts
    by the weights of their rows, the share among the pairs within parts: it has the same expectation as among
    all pairs, and its sampling error differs in the order of one over the rows of a part; a note says how
    far it differs from part to part. Errors of parts are independent: intervals are made of their squares, or of one
    resample of each.

    >>> from polytask.kinds import Binary
    >>> part = PartRows([0.2, 0.4, 0.3], [0.0, 1.0, 1.0])
    >>> evaluation = evaluate_parts(Binary(), [part, part], intervals=False)
    >>> evaluation["auc"].value, evaluation.num_rows
    (1.0, 6)
    """
    wholes: list[Evaluation] = []
    means: dict[str, _Whole] = {}
    center: float | None = None
    for place, part in enumerate(parts):
        rows = part.read(kind)
        if center is None and len(rows):
            # The median of equal labels is their value to the bit.
            center = float(np.median(rows.label_B))
        rows = replace(rows, center=center)
        wholes.append(_without_metrics(kind, part))
        if not len(rows):
            continue
        found = _statistics(kind.metrics, rows)
        spreads: Sequence[float | Floats | None] = [None] * len(found)
        if intervals:
            spreads = _spreads(found, rows, seed=seed + place)
        for (definition, statistic), spread in zip(found, spreads):
            mean = means.setdefault(definition.name, _whole_of(definition))
            mean.add(float(rows.weight_B.sum()), statistic, spread)
    means = {name: mean for name, mean in means.items() if not np.isnan(mean.value)}
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
    told = _of_pairs(
        [(d, m) for d, m in known if isinstance(m, _Mean)], len(wholes), whole.num_rows
    )
    return replace(whole, metrics=metrics, notes=(*told, *whole.notes, *absent))


def compare_parts(
    kind: Scored, pairs: Iterable[tuple[PartRows, PartRows]], *, seed: int = 0
) -> tuple[Gain, ...]:
    """`compare` of two models on such parts: pairs of the one's and the other's on the same rows."""
    means: dict[str, _PairOfMeans] = {}
    center: float | None = None
    for place, (part_a, part_b) in enumerate(pairs):
        rows_a, rows_b = part_a.read(kind), part_b.read(kind)
        if not len(rows_a):
            continue
        center = float(np.median(rows_a.label_B)) if center is None else center
        rows_a, rows_b = replace(rows_a, center=center), replace(rows_b, center=center)
        found_b = {d.name: s for d, s in _statistics(kind.metrics, rows_b)}
        found = [(d, s) for d, s in _statistics(kind.metrics, rows_a) if d.name in found_b]
        both = [(d, s) for d, a in found for s in (a, found_b[d.name])]
        spreads = _spreads(both, rows_a, seed=seed + place)
        weight = float(rows_a.weight_B.sum())
        for (d, a), spread_a, spread_b in zip(found, spreads[::2], spreads[1::2]):
            fresh = _PairOfMeans(_whole_of(d), _whole_of(d))
            pair, b = means.setdefault(d.name, fresh), found_b[d.name]
            pair.a.add(weight, a, spread_a)
            pair.b.add(weight, b, spread_b)
            if a.influence_U is not None and b.influence_U is not None:
                error = float(np.linalg.norm(a.influence_U - b.influence_U))
                pair.squares += (weight * error) ** 2
    known = [(d, means[d.name]) for d in kind.metrics if d.name in means]
    return tuple(pair.gain(d) for d, pair in known if not np.isnan(pair.a.value - pair.b.value))


@dataclass(slots=True, eq=False)
class _PairOfMeans:
    """The means of two models over the same parts, and the squared errors of their difference."""

    a: _Whole
    b: _Whole
    squares: float = 0.0

    def gain(self, definition: Definition) -> Gain:
        value = float(definition.advantage(np.asarray(self.a.value), np.asarray(self.b.value)))
        values_a, values_b = self.a.values_R, self.b.values_R
        if values_a is not None and values_b is not None:
            interval = interval_of_resamples(definition.advantage(values_a, values_b))
        else:
            weight = self.a.weight if isinstance(self.a, _Mean) else np.nan
            error = np.array([np.sqrt(self.squares) / weight])
            interval = interval_of_difference(value, error)
        # Without spread a gain other than 0 is not known exactly.
        is_point = interval is not None and interval.low == interval.high
        known = None if is_point and value else interval
        return Gain(definition.name, value, *(known or (None, None)))


def _statistics(
    definitions: Iterable[Definition], rows: Rows
) -> list[tuple[Definition, Statistic]]:
    """What these rows have of each metric; of pairs only what they define."""
    found = [(each, each.statistic(rows)) for each in definitions if each.is_taken(rows)]
    return [(d, s) for d, s in found if d.adds_up or not np.isnan(s.value)]


def _spreads(
    found: Sequence[tuple[Definition, Statistic]], rows: Rows, *, seed: int
) -> list[float | Floats | None]:
    """The standard error of each where it has a closed form, else what it has on the same resamples:
    sums (R, K) where they add up, else values (R,)."""
    spreads: list[float | Floats | None] = [
        None if s.influence_U is None else float(np.linalg.norm(s.influence_U)) for _, s in found
    ]
    parts: dict[int, list[Floats]] = {i: [] for i, each in enumerate(spreads) if each is None}
    if parts:
        draws = Draws(num_resamples=_NUM_RESAMPLES, seed=seed)
        for _, counts_RU in draws.counts(rows.num_units):
            for i, some in parts.items():
                definition, statistic = found[i]
                # A metric that the rows do not define has terms of no unit of theirs.
                if statistic is UNDEFINED:
                    some.append(np.full(len(counts_RU), np.nan))
                elif definition.adds_up and isinstance(statistic, OfSums):
                    some.append(statistic.sums(counts_RU))
                else:
                    some.append(statistic.values(counts_RU))
    for i, some in parts.items():
        spreads[i] = np.concatenate(some)
    return spreads


def _of_pairs(
    means: Sequence[tuple[Definition, _Mean]], num_parts: int, num_rows: int
) -> list[str]:
    """How metrics came about that are no sums over rows."""
    if num_parts == 1 or not means:
        return []
    shown = ", ".join(f"{d.title} {min(m.by_part):.4f} to {max(m.by_part):.4f}" for d, m in means)
    return [
        f"means over {num_parts} random parts of {num_rows:,} rows, which are more than are sorted at once, and "
        f"from part to part: {shown}; other metrics are of all rows exactly"
    ]


def _interval(mean: _Whole) -> Interval | None:
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
