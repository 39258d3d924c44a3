"""The tasks against each other while they are trained: their pace and their weights."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from polytask.report.drawing import INK, Panel, colour, dash, new_figure, step_axis
from polytask.report.formatting import count, listing, short
from polytask.report.reading import ReportedRun
from polytask.report.series import Curve, relative_rates, training_losses, training_weights

_HEIGHT = 340
_WIDE = 50
"""Weights that differ by more than this factor are drawn on a logarithmic scale."""


def pace_panel(run: ReportedRun) -> Panel | None:
    """The tasks' relative training rates; None where fewer than two tasks have one."""
    tasks = run.tasks
    rates = relative_rates({task: training_losses(run.steps, task) for task in tasks})
    if not rates:
        return None
    figure, (axes,) = new_figure(_HEIGHT, 1)
    axes.axhline(1, color=INK, linewidth=0.8)
    _draw(axes, rates, tasks, title="relative training rate")
    last = {task: float(curve.value_P[-1]) for task, curve in rates.items()}
    slow, fast = max(last, key=lambda t: last[t]), min(last, key=lambda t: last[t])
    caption = (
        "Each task's loss as a share of its first loss, divided by the mean of these shares; above "
        f"1 a task learns more slowly than the others. At the end {short(slow)} has kept the "
        f"largest share of its first loss ({last[slow]:.2f} times the mean over tasks) and "
        f"{short(fast)} the smallest ({last[fast]:.2f} times)."
    )
    absent = [task for task in tasks if task not in rates]
    if absent:
        caption += (
            f" There is no rate for {listing(absent)}: it takes a loss above zero throughout."
        )
    return Panel("Pace of the tasks", figure, caption)


def weights_panel(run: ReportedRun) -> Panel | None:
    """The tasks' weights over time; None where they never change."""
    weights = _weights(run)
    if _are_constant(weights):
        return None
    figure, (axes,) = new_figure(_HEIGHT, 1)
    _draw(axes, weights, run.tasks, title="weight")
    values = np.concatenate([curve.value_P for curve in weights.values()])
    if values.min() > 0 and values.max() > _WIDE * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(values.min() / 1.5, values.max() * 1.5)
    told = []
    for task, curve in weights.items():
        ends = curve.smoothed().value_P
        told.append(f"{short(task)} from {_weight(ends[0])} to {_weight(ends[-1])}")
    caption = f"Smoothed, the weight goes for {listing(told)}."
    return Panel("Weights of the tasks", figure, caption)


def constant_weights(run: ReportedRun) -> str:
    """The weights in words where they never change, else nothing."""
    weights = _weights(run)
    if not weights or not _are_constant(weights):
        return ""
    first = {task: float(curve.value_P[0]) for task, curve in weights.items()}
    if len(set(first.values())) == 1:
        return f"All tasks weigh {next(iter(first.values())):g} throughout."
    told = [f"{task} weighs {weight:g}" for task, weight in first.items()]
    return f"The weights never change: {listing(told)}."


def _weight(value: float) -> str:
    return count(value) if value >= 100 else f"{value:.3g}"


def _weights(run: ReportedRun) -> dict[str, Curve]:
    weights = {task: training_weights(run.steps, task) for task in run.tasks}
    return {task: curve for task, curve in weights.items() if len(curve)}


def _are_constant(weights: Mapping[str, Curve]) -> bool:
    return all(np.ptp(curve.value_P) < 1e-9 for curve in weights.values())


def _draw(axes: Axes, curves: Mapping[str, Curve], tasks: Sequence[str], *, title: str) -> None:
    for task, curve in curves.items():
        position = tasks.index(task)
        drawn = curve.thinned()
        (line,) = axes.plot(drawn.step_P, drawn.value_P, label=short(task))
        line.set(color=colour(position), linestyle=dash(position))
    axes.legend(loc="best", ncols=1 + (len(curves) > 8))
    axes.margins(y=0.08)
    axes.set_title(title)
    step_axis(axes, max(curve.step_P[-1] for curve in curves.values()))
