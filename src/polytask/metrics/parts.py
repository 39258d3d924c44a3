"""Metrics of more rows than memory holds, from random parts of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from polytask.metrics.arrays import Floats
from polytask.metrics.definition import Definition, Scored
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
from polytask.metrics.statistic import UNDEFINED, OfSums, Statistic
from polytask.metrics.wholes import Binned, MeanOfParts, Spread, Whole, whole_of
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


def evaluate_parts(
    kind: Scored, parts: Iterable[PartRows], *, intervals: bool = True, seed: int = 0
) -> Evaluation:
    """`evaluate` of rows that come in random parts, of whole groups where there are groups.

    What is a function of sums over rows or groups (log-loss, RMSE, R2, GAUC and others) is that of all rows exactly:
    the sums of the parts are added up. AUC and macro-AUC are those of all rows too, from bins of the scores: exactly
    where they have no more than MOST_BINS different values, else within the `bound` of the metric (see `ScoreBins`).
    What compares other pairs of rows, such as XAUC, is the mean over the parts
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
    counts: list[Evaluation] = []
    wholes: dict[str, Whole] = {}
    center: float | None = None
    for place, part in enumerate(parts):
        rows = part.read(kind)
        if center is None and len(rows):
            # The median of equal labels is their value to the bit.
            center = float(np.median(rows.label_B))
        rows = replace(rows, center=center)
        counts.append(_without_metrics(kind, part))
        if not len(rows):
            continue
        found = _statistics(kind.metrics, rows)
        spreads: Sequence[Spread] = [None] * len(found)
        if intervals:
            spreads = _spreads(found, rows, seed=seed + place)
        for (definition, statistic), spread in zip(found, spreads):
            wholes.setdefault(definition.name, whole_of(definition)).add(rows, statistic, spread)
    wholes = {name: each for name, each in wholes.items() if not np.isnan(each.value)}
    known = [(each, wholes[each.name]) for each in kind.metrics if each.name in wholes]
    metrics = tuple(
        d.record(w.value, _interval(w) if intervals else None, bound=w.bound) for d, w in known
    )
    joined = _joined(counts)
    absent = [
        f"no {each.name}: {each.absent_if}"
        for each in kind.metrics
        if joined.num_rows
        and each.name not in wholes
        and not (each.needs_groups and joined.num_groups is None)
    ]
    absent += [
        f"no interval of {each.name}: not every part shows how it varies"
        for each in metrics
        if intervals and each.low is None
    ]
    of_parts = _of_means(known, len(counts), joined.num_rows)
    notes = (*of_parts, *_of_bounds(known), *joined.notes, *absent)
    return replace(joined, metrics=metrics, notes=notes)


def compare_parts(
    kind: Scored, pairs: Iterable[tuple[PartRows, PartRows]], *, seed: int = 0
) -> tuple[Gain, ...]:
    """`compare` of two models on such parts: pairs of the one's and the other's on the same rows."""
    wholes: dict[str, _PairOfWholes] = {}
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
            fresh = _PairOfWholes(whole_of(d), whole_of(d))
            pair, b = wholes.setdefault(d.name, fresh), found_b[d.name]
            pair.a.add(rows_a, a, spread_a)
            pair.b.add(rows_b, b, spread_b)
            if a.influence_U is not None and b.influence_U is not None:
                error = float(np.linalg.norm(a.influence_U - b.influence_U))
                pair.squares += (weight * error) ** 2
    known = [(d, wholes[d.name]) for d in kind.metrics if d.name in wholes]
    return tuple(pair.gain(d) for d, pair in known if not np.isnan(pair.a.value - pair.b.value))


@dataclass(slots=True, eq=False)
class _PairOfWholes:
    """A metric of two models over the same parts, and the squared errors of their difference."""

    a: Whole
    b: Whole
    squares: float = 0.0

    def gain(self, definition: Definition) -> Gain:
        value = float(definition.advantage(np.asarray(self.a.value), np.asarray(self.b.value)))
        values_a, values_b = self.a.values_R, self.b.values_R
        if values_a is not None and values_b is not None:
            interval = interval_of_resamples(definition.advantage(values_a, values_b))
        else:
            error = float(np.sqrt(self.squares)) / (self.a.weight or np.nan)
            interval = interval_of_difference(value, np.array([error]))
        # Without spread a gain other than 0 is not known exactly.
        if interval is None or (interval.low == interval.high and value):
            return Gain(definition.name, value)
        bound = self.a.bound + self.b.bound
        return Gain(definition.name, value, interval.low - bound, interval.high + bound)


def _statistics(
    definitions: Iterable[Definition], rows: Rows
) -> list[tuple[Definition, Statistic]]:
    """What these rows have of each metric; of a mean over parts only what they define."""
    found = [(each, each.statistic(rows)) for each in definitions if each.is_taken(rows)]
    return [(d, s) for d, s in found if d.is_of_all_rows or not np.isnan(s.value)]


def _spreads(
    found: Sequence[tuple[Definition, Statistic]], rows: Rows, *, seed: int
) -> list[Spread]:
    """The standard error of each where it has a closed form, else what it has on the same resamples."""
    spreads: list[Spread] = [
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


def _of_means(
    wholes: Sequence[tuple[Definition, Whole]], num_parts: int, num_rows: int
) -> list[str]:
    """How metrics came about that are means over the parts."""
    means = [(d, m) for d, m in wholes if isinstance(m, MeanOfParts)]
    if num_parts == 1 or not means:
        return []
    shown = ", ".join(f"{d.title} {min(m.by_part):.4f} to {max(m.by_part):.4f}" for d, m in means)
    return [
        f"means over {num_parts} random parts of {num_rows:,} rows, which are more than are sorted at once, and "
        f"from part to part: {shown}; other metrics are of all rows"
    ]


def _of_bounds(wholes: Sequence[tuple[Definition, Whole]]) -> list[str]:
    """How far metrics of bins can be from those of each score by itself."""
    return [
        f"{definition.title} is of all rows, by {sum(map(len, whole.bins.values())):,} bins of scores: "
        f"within {whole.bound:.1e} of the exact one"
        for definition, whole in wholes
        if isinstance(whole, Binned) and whole.bound
    ]


def _interval(whole: Whole) -> Interval | None:
    if whole.values_R is None:
        interval = interval_of_share(whole.value, np.array([whole.error]))
    else:
        interval = interval_of_resamples(whole.values_R)
    if interval is None or interval.low == interval.high:
        return None
    if not whole.bound:
        return interval
    return Interval(max(interval.low - whole.bound, 0.0), min(interval.high + whole.bound, 1.0))


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
