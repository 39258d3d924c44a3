"""How training went: the losses of each task, and its validation metric."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from polytask.records import MetricValue, ValidationRecord
from polytask.report.drawing import (
    BLUE,
    MUTED,
    ORANGE,
    PAPER,
    Panel,
    new_figure,
    step_axis,
)
from polytask.report.formatting import count, number, percent, short
from polytask.report.reading import MULTI, ReportedRun
from polytask.report.series import Curve, curve_of, training_losses

_WIDE_RANGE = 6.0
"""Losses that span more than this factor are drawn on a logarithmic scale."""


@dataclass(frozen=True, slots=True, eq=False)
class _TaskCurves:
    """All curves of one task; those of the single-task model are empty where it was not trained."""

    task: str
    metric: MetricValue | None
    train: Curve
    valid: Curve
    single_valid: Curve
    score: Curve
    single_score: Curve
    kept_step: int | None

    @property
    def rises(self) -> bool:
        """Whether the metric is better the higher it is."""
        return self.metric is None or self.metric.direction == "higher"

    @property
    def last_step(self) -> float:
        curves = (self.train, self.valid, self.single_valid)
        return max((c.step_P[-1] for c in curves if len(c)), default=1)


def training_panels(run: ReportedRun) -> tuple[Panel, ...]:
    """One panel a task: its losses above, its validation metric below."""
    panels = []
    for task in run.tasks:
        curves = _curves(run, task)
        if not len(curves.train) and not len(curves.valid):
            continue
        figure, (above, below) = new_figure(340, 1, 1, gap=0.42)
        _draw_losses(above, curves)
        _draw_metric(below, curves)
        panels.append(Panel(task, figure, " ".join(_findings(curves))))
    return tuple(panels)


def _curves(run: ReportedRun, task: str) -> _TaskCurves:
    multi = run.validations.get(MULTI, ())
    single = run.validations.get(f"single: {task}", ())
    metric = next((metric for line in multi for metric in line.metrics.get(task, ())), None)

    def loss(line: ValidationRecord) -> float | None:
        return line.losses.get(task)

    def score(line: ValidationRecord) -> float | None:
        found = (m.value for m in line.metrics.get(task, ()) if metric and m.name == metric.name)
        return next(found, None)

    best = [line.step for line in multi if line.is_best]
    return _TaskCurves(
        task=task,
        metric=metric,
        train=training_losses(run.steps, task),
        valid=curve_of(multi, loss),
        single_valid=curve_of(single, loss),
        score=curve_of(multi, score),
        single_score=curve_of(single, score),
        kept_step=best[-1] if best else None,
    )


def _draw_losses(axes: Axes, curves: _TaskCurves) -> None:
    train = curves.train.thinned()
    smooth = train.smoothed()
    axes.plot(train.step_P, train.value_P, color=BLUE, linewidth=0.7, alpha=0.45)
    axes.plot(smooth.step_P, smooth.value_P, color=BLUE, linewidth=1.6)
    _draw_validations(axes, curves.valid, curves.single_valid)
    axes.set_title("loss")
    drawn = (smooth, curves.valid, curves.single_valid)
    values = np.concatenate([each.value_P for each in drawn])
    span = values.max() / values.min() if values.min() > 0 else 0
    if span > _WIDE_RANGE:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 50 else (1,), numticks=6))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    step_axis(axes, curves.last_step, label=curves.metric is None)
    _draw_kept(axes, curves)


def _draw_metric(axes: Axes, curves: _TaskCurves) -> None:
    if not len(curves.score):
        axes.set_axis_off()
        axes.text(0, 0.9, "not validated", color=MUTED, transform=axes.transAxes)
        return
    _draw_validations(axes, curves.score, curves.single_score)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.margins(y=0.15)
    floor = late_floor(curves.score, curves.single_score) if curves.rises else None
    if floor is not None:
        top = np.concatenate([curves.score.value_P, curves.single_score.value_P]).max()
        axes.set_ylim(floor, top + 0.15 * (top - floor))
    cut = " (early part cut off)" if floor is not None else ""
    axes.set_title(f"validation {curves.metric.title if curves.metric else ''}{cut}")
    step_axis(axes, curves.last_step)
    _draw_kept(axes, curves)


def late_floor(*curves: Curve) -> float | None:
    """Where to cut off early values that would flatten the differences at the end; None if nowhere.

    The later half of the steps is shown in full, with some room below it.
    """
    values = np.concatenate([curve.value_P for curve in curves])
    late = np.concatenate(
        [curve.value_P[curve.step_P >= curve.step_P[-1] / 2] for curve in curves if len(curve)]
    )
    whole = float(np.ptp(values))
    room = max(float(np.ptp(late)), 0.05 * whole)
    floor = float(late.min()) - room
    return floor if values.min() < floor - room else None


def _draw_validations(axes: Axes, multi: Curve, single: Curve) -> None:
    marker = "o" if len(multi) <= 40 else ""
    axes.plot(
        *(single.step_P, single.value_P),
        *("--",),
        color=ORANGE,
        marker="s" if marker else "",
        markersize=4.5,
        linewidth=1.4,
        markeredgecolor=PAPER,
    )
    axes.plot(
        *(multi.step_P, multi.value_P),
        color=BLUE,
        marker=marker,
        markersize=6,
        markeredgecolor=PAPER,
    )


def _draw_kept(axes: Axes, curves: _TaskCurves) -> None:
    if curves.kept_step is not None:
        axes.axvline(curves.kept_step, color=MUTED, linewidth=1, linestyle=":", zorder=1)


def _findings(curves: _TaskCurves) -> list[str]:
    """What this task's curves say, a sentence a finding."""
    task, score = short(curves.task), curves.score
    found = []
    if len(score) and curves.metric is not None:
        best_of = np.argmax if curves.rises else np.argmin
        best = int(best_of(score.value_P))
        at = f"{curves.metric.title} {number(score.value_P[best])} at step {count(score.step_P[best])}"
        if len(score) == 1:
            found.append(f"{task} was validated once: {at}.")
        elif best == len(score) - 1:
            found.append(f"{task} was still improving at the last validation: {at}.")
        else:
            found.append(f"{task} stopped improving after {at}.")
        if len(curves.single_score):
            single_P = curves.single_score.value_P
            theirs = float(single_P[best_of(single_P)])
            found.append(f"Its single-task model reached {number(theirs)}.")
    found += _rise(curves)
    if not found and len(curves.train):
        first, last = curves.train.value_P[0], curves.train.smoothed().value_P[-1]
        found.append(f"The training loss of {task} went from {number(first)} to {number(last)}.")
    return found


def _rise(curves: _TaskCurves) -> list[str]:
    valid = curves.valid
    if len(valid) < 2 or valid.value_P.min() <= 0:
        return []
    lowest = int(valid.value_P.argmin())
    rise = valid.value_P[-1] / valid.value_P[lowest] - 1
    if rise < 0.01:
        return []
    return [
        f"Its validation loss was lowest at step {count(valid.step_P[lowest])} and rose by "
        f"{percent(rise)} until the end: fewer epochs, more dropout or weight decay may help."
    ]
