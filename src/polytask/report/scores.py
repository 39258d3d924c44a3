"""Predictions against labels: a calibration plot above a histogram, per task."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator

from polytask.records import Bin, Figures, ScoreFigures
from polytask.records.figures import Scale
from polytask.records.scales import BACKWARD, FORWARD, Floats
from polytask.report.drawing import BLUE, MUTED, ORANGE, PAPER, Panel, new_figure
from polytask.report.formatting import count, number, percent, plural

_RATES = (1e-5, 1e-4, 0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999, 0.9999, 0.99999)
_QUANTITIES = tuple(m * 10.0**e for e in range(7) for m in (1, 3))
_NARROW = 3.6
"""Ranges of a logit or a logarithm that are nearly straight, in their own unit."""
_MOST_BEYOND = 1.5
"""Intervals may widen the range by so much on these scales, not more: some reach to a rate of 0."""


def score_panels(figures: Figures) -> tuple[Panel, ...]:
    """One panel a task that has labelled rows."""
    panels = []
    for scores in figures.scores:
        figure, (above, below) = new_figure(370, 1.7, 1, gap=0.3)
        limits = _limits(scores)
        _draw_calibration(above, scores, limits)
        _draw_histogram(below, scores, limits)
        panels.append(Panel(scores.task, figure, finding(scores)))
    return tuple(panels)


def finding(scores: ScoreFigures) -> str:
    """How many bins agree with the diagonal, and the one that is farthest from it."""
    bins = scores.calibration
    agreeing = [b for b in bins if b.low <= b.predicted <= b.high]
    told = f"In {len(agreeing)} of {plural(len(bins), 'group')} the 95 % interval holds the "
    told += "predicted rate" if scores.scale == "logit" else "mean prediction"
    outside = [b for b in bins if b not in agreeing]
    if not outside:
        return f"{told}: no miscalibration can be seen in {count(sum(b.rows for b in bins))} rows."
    worst = max(outside, key=_distance)
    pair = (worst.predicted, worst.observed)
    digits = 2 if max(map(abs, pair)) >= 1 else None
    predicted, observed = (
        percent(value) if scores.scale == "logit" else number(value, decimals=digits)
        for value in pair
    )
    direction = "too high" if worst.predicted > worst.observed else "too low"
    return f"{told}. Farthest off: where {predicted} is predicted, {observed} is observed ({direction})."


def _distance(group: Bin) -> float:
    """How far the prediction is outside, in widths of the interval."""
    beyond = max(group.low - group.predicted, group.predicted - group.high)
    return beyond / max(group.high - group.low, 1e-12)


def _draw_calibration(axes: Axes, scores: ScoreFigures, limits: tuple[float, float]) -> None:
    forward = FORWARD[scores.scale]
    bins = scores.calibration
    columns = ("predicted", "observed", "low", "high")
    predicted, observed, low, high = (
        forward(np.array([getattr(b, column) for b in bins], dtype=np.float64)).clip(
            limits[0], limits[1]
        )
        for column in columns
    )
    axes.plot(limits, limits, color=MUTED, linewidth=1, linestyle="--")
    axes.vlines(predicted, low, high, color=BLUE, linewidth=1.6, alpha=0.55)
    # A rate of 0 or 1 has no place on this scale: it is hollow, at the edge.
    is_edge = np.array([scores.scale == "logit" and b.observed in (0, 1) for b in bins])
    for kept, face, edge in ((~is_edge, BLUE, PAPER), (is_edge, PAPER, BLUE)):
        axes.plot(
            *(predicted[kept], observed[kept], "o"),
            markersize=6,
            color=face,
            markeredgecolor=edge,
            clip_on=False,
        )
    axes.set_title("observed" if scores.scale != "logit" else "observed rate")
    axes.set_ylim(*limits)
    _value_axis(axes, scores, limits, which="y")
    _value_axis(axes, scores, limits, which="x")
    axes.tick_params(labelbottom=False)


def _draw_histogram(axes: Axes, scores: ScoreFigures, limits: tuple[float, float]) -> None:
    edges = FORWARD[scores.scale](np.asarray(scores.histogram.edges))
    shares = [np.asarray(s.counts) / max(sum(s.counts), 1e-12) for s in scores.histogram.series]
    looks = ((ORANGE, 0.22, "--"), (BLUE, 0.32, "-"))
    for series, share, (colour, alpha, line) in zip(scores.histogram.series, shares, looks):
        axes.stairs(share, edges, fill=True, color=colour, alpha=alpha, linewidth=0)
        axes.stairs(share, edges, color=colour, linewidth=1.4, linestyle=line, label=series.name)
    axes.set_title("share of rows")
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
    axes.legend(loc="best")
    axes.set_xlabel(scores.title)
    _value_axis(axes, scores, limits, which="x")


def _value_axis(
    axes: Axes, scores: ScoreFigures, limits: tuple[float, float], *, which: str
) -> None:
    """The scale's own ticks along x or y, over the whole range."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if which == "x":
        axes.set_xlim(*limits)
    if scores.scale == "linear":
        axis.set_major_locator(MaxNLocator(5))
        return
    rates = scores.scale == "logit"
    candidates = _candidates(scores.scale, limits)
    places = FORWARD[scores.scale](candidates)
    inside = [(p, v) for p, v in zip(places, candidates) if limits[0] <= p <= limits[1]]
    inside = _apart(inside, least=(limits[1] - limits[0]) / (5.5 if which == "x" else 7))
    axis.set_major_locator(FixedLocator([place for place, _ in inside]))
    labels = [percent(v) if rates else f"{v:,.6g}" for _, v in inside]
    axis.set_major_formatter(FixedFormatter(labels))


def _candidates(scale: Scale, limits: tuple[float, float]) -> Floats:
    """Round values; evenly spaced ones where the range is so narrow that the scale is straight."""
    if limits[1] - limits[0] > _NARROW:
        return np.asarray(_RATES if scale == "logit" else (0.0, *_QUANTITIES))
    ends = BACKWARD[scale](np.asarray(limits))
    ticks = np.asarray(MaxNLocator(5).tick_values(ends[0], ends[1]))
    return ticks[(ticks > 0) & (ticks < 1)] if scale == "logit" else ticks


def _apart(ticks: Sequence[tuple[float, float]], *, least: float) -> list[tuple[float, float]]:
    """The ticks without those that come too near to the one before."""
    kept: list[tuple[float, float]] = []
    for tick in ticks:
        if not kept or tick[0] - kept[-1][0] >= least:
            kept.append(tick)
    return kept


def _limits(scores: ScoreFigures) -> tuple[float, float]:
    """One range for both axes: all bins, and where nearly all scores are."""
    forward = FORWARD[scores.scale]
    values = [v for b in scores.calibration for v in (b.predicted, b.observed)]
    if scores.scale == "logit":
        values = [v for v in values if 0 < v < 1]
    edges = scores.histogram.edges
    drawn = forward(np.asarray([*values, edges[0], edges[-1]]))
    low, high = float(drawn.min()), float(drawn.max())
    bars = forward(np.asarray([v for b in scores.calibration for v in (b.low, b.high)]))
    beyond = _MOST_BEYOND if scores.scale != "linear" else math.inf
    low = min(low, max(float(bars.min(initial=low)), low - beyond))
    high = max(high, min(float(bars.max(initial=high)), high + beyond))
    margin = 0.03 * (high - low) or 0.5
    return low - margin, high + margin
