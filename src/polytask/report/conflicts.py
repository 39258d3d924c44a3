"""How the tasks' gradients meet: the mean cosine of each pair, and how often pairs conflict."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from polytask.report.drawing import BLUE, Panel, new_figure, step_axis
from polytask.report.formatting import count, percent, short
from polytask.report.heatmap import LEFT, draw_cells, signed
from polytask.report.reading import ReportedRun
from polytask.report.series import Curve, curve_of, mean_cosines, mean_norms


def cosine_panel(run: ReportedRun) -> Panel | None:
    """The mean cosine of each pair of tasks as a heat map; None where none was measured."""
    tasks = run.tasks
    cosines_TT = mean_cosines(run.steps, tasks)
    if np.isnan(cosines_TT).all():
        return None
    num_steps = sum(bool(step.cosines) for step in run.steps)
    pairs = [
        (float(cosines_TT[i, j]), f"{short(tasks[j])} and {short(tasks[i])}")
        for i in range(len(tasks))
        for j in range(i)
        if not np.isnan(cosines_TT[i, j])
    ]
    (low, lowest), (high, highest) = min(pairs), max(pairs)
    caption = (
        "Blue pairs pull what they share the same way, orange ones against each other; the number is "
        f"the cosine of their gradients, in the mean over {count(num_steps)} logged steps. "
    )
    if len(pairs) > 1:
        caption += f"{highest} agree most ({signed(high)}), {lowest} least ({signed(low)})."
    figure, (axes,) = new_figure(110 + 28 * len(tasks), 1, left=LEFT)
    # The lower triangle, the first task to the left, the last below.
    below_TT = np.where(np.tri(len(tasks), k=-1, dtype=bool), cosines_TT, np.nan)
    draw_cells(axes, below_TT[1:, :-1], tasks[1:], tasks[:-1], full=1.0, most_numbered=8)
    return Panel("Which tasks pull together", figure, caption.strip())


def conflict_panel(run: ReportedRun) -> Panel | None:
    """The share of pairs that conflict, over the steps; None where none was measured."""
    rates = curve_of(run.steps, lambda step: step.conflict_rate)
    if not len(rates):
        return None
    figure, (axes,) = new_figure(240, 1)
    _draw_rate(axes, rates)
    smooth = rates.smoothed(0.15).value_P
    caption = (
        "The share of pairs of tasks whose gradients have a negative cosine: "
        f"{percent(float(rates.value_P.mean()))} in the mean over the run. The thick line, a mean over "
        f"neighbouring steps, goes from {percent(float(smooth[0]))} to {percent(float(smooth[-1]))}."
    )
    lengths = mean_norms(run.steps)
    if len(lengths) > 1 and min(lengths.values()) > 0:
        long, small = max(lengths, key=lengths.__getitem__), min(lengths, key=lengths.__getitem__)
        caption += (
            f" The longest gradient is that of {short(long)}, in the mean "
            f"{lengths[long] / lengths[small]:.2g} times as long as that of {short(small)}."
        )
    return Panel("How often tasks conflict", figure, caption)


def _draw_rate(axes: Axes, rates: Curve) -> None:
    drawn, smooth = rates.thinned(), rates.smoothed(0.15).thinned()
    axes.plot(drawn.step_P, drawn.value_P, color=BLUE, linewidth=0.7, alpha=0.45)
    axes.plot(smooth.step_P, smooth.value_P, color=BLUE, linewidth=1.8)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_title("pairs that conflict")
    step_axis(axes, rates.step_P[-1])
