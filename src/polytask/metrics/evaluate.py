"""A task's metrics with intervals; two models on the same rows; one metric alone, fast."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from polytask.errors import UserError
from polytask.metrics.arrays import Floats
from polytask.metrics.definition import Definition, Scored, definition_of
from polytask.metrics.intervals import (
    Draws,
    Interval,
    interval_of_difference,
    interval_of_resamples,
    interval_of_share,
    resample,
)
from polytask.metrics.rows import Rows, read_rows
from polytask.metrics.spaces import UNKNOWN_CLASS
from polytask.metrics.statistic import Statistic
from polytask.records import Evaluation, Gain, MetricValue


def evaluate(
    kind: Scored,
    predictions: ArrayLike,
    labels: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    num_resamples: int = 200,
    seed: int = 0,
    intervals: bool = True,
    draws: Draws | None = None,
) -> Evaluation:
    """The metrics of one task, each with its 95 % interval.

    `kind` says which metrics are taken and which labels and predictions can be, such as `Binary()`.
    `predictions`: (B,) probabilities or values in the label's unit, or (B, C) class probabilities;
    `labels`: (B,), NaN is not labelled and dropped; `weights`: every sum and pair is weighted, a
    weight of 0 drops the row; `groups`: (B,), any values, for the metrics within groups (gauc, gxauc),
    and then intervals treat groups, not rows, as independent. A row whose group is missing is a group
    of its own. Intervals: in closed form for AUC without groups (DeLong), macro-AUC and XAUC; else
    by `num_resamples` resamples of rows or groups; `draws` are those of several tasks, drawn once.
    """
    rows = read_rows(kind.space, predictions, labels, weights=weights, groups=groups)
    if not len(rows):
        return _evaluation(kind, rows, (), ("no metric: there is no labelled row",))
    definitions = [each for each in kind.metrics if each.is_taken(rows)]
    found = [(definition, definition.statistic(rows)) for definition in definitions]
    measured = [(d, s) for d, s in found if not np.isnan(s.value)]
    notes = [*_label_notes(kind, rows)]
    notes += [f"no {d.name}: {d.absent_if}" for d, s in found if np.isnan(s.value)]
    spread: Sequence[Interval | None] = [None] * len(measured)
    if intervals:
        draws = draws or Draws(num_resamples=num_resamples, seed=seed)
        spread = _intervals([s for _, s in measured], rows, draws)
        notes += [
            f"no interval of {definition.name}: these {_units(rows)} do not show how it varies"
            for (definition, _), interval in zip(measured, spread)
            if interval is None
        ]
    metrics = tuple(
        definition.record(statistic.value, interval)
        for (definition, statistic), interval in zip(measured, spread)
    )
    return _evaluation(kind, rows, metrics, tuple(notes))


def compare(
    kind: Scored,
    predictions_a: ArrayLike,
    predictions_b: ArrayLike,
    labels: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    num_resamples: int = 200,
    seed: int = 0,
    draws: Draws | None = None,
) -> tuple[Gain, ...]:
    """How much better model a is than model b on the same rows, with a paired 95 % interval.

    Arguments as in `evaluate`; both models see the same resamples. Metrics that are not defined on
    these rows are left out.
    """
    rows_a = read_rows(kind.space, predictions_a, labels, weights=weights, groups=groups)
    rows_b = read_rows(kind.space, predictions_b, labels, weights=weights, groups=groups)
    if not len(rows_a):
        return ()
    definitions = [each for each in kind.metrics if each.is_taken(rows_a)]
    triples = [(each, each.statistic(rows_a), each.statistic(rows_b)) for each in definitions]
    triples = [(d, a, b) for d, a, b in triples if not np.isnan(a.value - b.value)]
    resampled = [s for _, a, b in triples for s in (a, b) if s.influence_U is None]
    draws = draws or Draws(num_resamples=num_resamples, seed=seed)
    values = iter(resample(resampled, rows_a.num_units, draws))
    gains = []
    for definition, a, b in triples:
        gain = float(definition.advantage(np.asarray(a.value), np.asarray(b.value)))
        if a.influence_U is None or b.influence_U is None:
            interval = interval_of_resamples(definition.advantage(next(values), next(values)))
        else:
            interval = interval_of_difference(gain, a.influence_U - b.influence_U)
        # Without spread a gain other than 0 is not known exactly: there is one unit, or few.
        known = interval if gain == 0 or not _is_point(interval) else None
        gains.append(Gain(definition.name, gain, *(known or (None, None))))
    return tuple(gains)


def quick_metric(
    name: str,
    kind: Scored,
    predictions: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
) -> float:
    """One metric without its interval; NaN where these rows do not define it."""
    definition = definition_of(name, kind)
    if definition.needs_groups and groups is None:
        raise UserError(f"metric {name!r} is taken within groups: name a group column")
    used_groups = groups if definition.needs_groups else None
    rows = read_rows(kind.space, predictions, labels, weights=weights, groups=used_groups)
    return definition.statistic(rows).value if len(rows) else float("nan")


def _intervals(statistics: Sequence[Statistic], rows: Rows, draws: Draws) -> list[Interval | None]:
    """In closed form where a statistic has one; the others on the same resamples."""
    resampled = [s for s in statistics if s.influence_U is None]
    values = iter(resample(resampled, rows.num_units, draws))
    found = [
        interval_of_resamples(next(values))
        if statistic.influence_U is None
        else interval_of_share(statistic.value, statistic.influence_U)
        for statistic in statistics
    ]
    return [None if _is_point(interval) else interval for interval in found]


def _is_point(interval: Interval | None) -> bool:
    return interval is not None and interval.low == interval.high


def _units(rows: Rows) -> str:
    return f"{rows.num_units} {'rows' if rows.group_B is None else 'groups'}"


def _label_notes(kind: Scored, rows: Rows) -> Iterator[str]:
    space, label_B = kind.space, rows.label_B
    if space.are_events and ((label_B > 0) & (label_B < 1)).any():
        yield (
            "labels between 0 and 1 are taken as probabilities; metrics of pairs take those from "
            "0.5 for yes"
        )
    num_unknown = int((label_B == UNKNOWN_CLASS).sum()) if space.are_classes else 0
    if num_unknown:
        rows_are = "1 row is" if num_unknown == 1 else f"{num_unknown:,} rows are"
        yield f"{rows_are} of classes unknown to training: every prediction there is a miss"


def _evaluation(
    kind: Scored, rows: Rows, metrics: tuple[MetricValue, ...], notes: tuple[str, ...]
) -> Evaluation:
    space = kind.space
    num_groups = num_group_rows = mean_label = None
    if rows.group_B is not None and not space.are_classes:
        is_mixed_G = (rows.as_events() if space.are_events else rows).mixed_groups()
        num_groups = int(is_mixed_G.sum())
        num_group_rows = int(is_mixed_G[rows.group_B].sum())
    if len(rows) and not space.are_classes:
        mean_label = float(np.average(rows.label_B, weights=rows.weight_B))
    return Evaluation(
        kind=space.kind,
        num_rows=len(rows),
        num_unlabelled=rows.num_unlabelled,
        num_positive=int((rows.label_B >= 0.5).sum()) if space.are_events else None,
        mean_label=mean_label,
        num_groups=num_groups,
        num_group_rows=num_group_rows,
        metrics=metrics,
        notes=notes,
    )


def resampled(
    definition: Definition,
    kind: Scored,
    predictions: Sequence[ArrayLike],
    labels: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    num_resamples: int = 200,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """One metric of S models on the same rows (S,), and on the same resamples of them (S, R).

    Rows with groups are resampled as whole groups. NaN where the metric is not defined.
    """
    rows = [read_rows(kind.space, p, labels, weights=weights, groups=groups) for p in predictions]
    if not rows or not len(rows[0]):
        return np.full(len(rows), np.nan), np.full((len(rows), num_resamples), np.nan)
    statistics = [definition.statistic(each) for each in rows]
    values_S = np.array([statistic.value for statistic in statistics])
    num_units = rows[0].num_units
    draws = Draws(num_resamples=num_resamples, seed=seed)
    return values_S, resample(statistics, num_units, draws)
