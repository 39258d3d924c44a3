"""How the tasks' gradients meet: the mean cosine of each pair, and how often pairs conflict."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from polytask.report.drawing import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    Panel,
    new_figure,
    step_axis,
    to_svg,
)
from polytask.report.records import RunRecord
from polytask.report.series import (
    MULTI,
    Curve,
    Floats,
    conflict_rates,
    mean_cosines,
    trained_tasks,
)
from polytask.report.words import MINUS, count, percent, short

_STRONGEST = 0.6
"""How opaque a cosine of 1 is: the number in the cell must stay readable."""
_LEFT = 112
_MOST_NUMBERED = 9


def cosine_panel(run: RunRecord) -> Panel | None:
    """The mean cosine of each pair of tasks as a heat map; None where none was measured."""
    tasks = trained_tasks(run)
    cosines_TT = mean_cosines(run.steps, MULTI, tasks)
    if np.isnan(cosines_TT).all():
        return None
    num_steps = sum(bool(step.cosines) for step in run.steps if step.model == MULTI)
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
        caption += f"{highest} agree most ({_cosine(high)}), {lowest} least ({_cosine(low)})."
    figure, (axes,) = new_figure(110 + 28 * len(tasks), 1, left=_LEFT)
    _draw_cells(axes, cosines_TT, tasks)
    svg = to_svg(figure, name="cosines", label=f"Mean cosine of each pair of tasks. {caption}")
    return Panel("Which tasks pull together", svg, caption.strip())


def conflict_panel(run: RunRecord) -> Panel | None:
    """The share of pairs that conflict, over the steps; None where none was measured."""
    curve = conflict_rates(run.steps, MULTI)
    if not len(curve):
        return None
    figure, (axes,) = new_figure(240, 1)
    _draw_rate(axes, curve)
    smooth = curve.smoothed(0.15).value_P
    caption = (
        "The share of pairs of tasks whose gradients have a negative cosine: "
        f"{percent(float(curve.value_P.mean()))} in the mean over the run. The thick line, a mean over "
        f"neighbouring steps, goes from {percent(float(smooth[0]))} to {percent(float(smooth[-1]))}."
    )
    similar = [
        step.magnitude_similarity
        for step in run.steps
        if step.model == MULTI and step.magnitude_similarity is not None
    ]
    if similar:
        caption += (
            f" Their lengths are alike to {np.mean(similar):.2f} in the mean: 1 is equal length, 0.1 "
            "one twenty times the other."
        )
    svg = to_svg(figure, name="conflicts", label=f"Conflict rate by step. {caption}")
    return Panel("How often tasks conflict", svg, caption)


def _draw_cells(axes: Axes, cosines_TT: Floats, tasks: tuple[str, ...]) -> None:
    """The lower triangle, the first task to the left, the last below."""
    numbered = len(tasks) <= _MOST_NUMBERED
    for i in range(1, len(tasks)):
        for j in range(i):
            cosine = float(cosines_TT[i, j])
            if np.isnan(cosine):
                continue
            colour, strength = BLUE if cosine >= 0 else ORANGE, _STRONGEST * min(abs(cosine), 1)
            corner = (j - 0.47, i - 0.47)
            axes.add_patch(
                Rectangle(corner, 0.94, 0.94, facecolor=colour, alpha=strength, linewidth=0)
            )
            axes.add_patch(
                Rectangle(corner, 0.94, 0.94, fill=False, edgecolor=MUTED, linewidth=0.5)
            )
            if numbered:
                axes.text(j, i, _cosine(cosine), ha="center", va="center", color=INK, fontsize=10)
    axes.set_xlim(-0.55, len(tasks) - 1.45)
    axes.set_ylim(len(tasks) - 0.45, 0.45)
    axes.set_yticks(range(1, len(tasks)), [short(task, 15) for task in tasks[1:]])
    axes.set_xticks(range(len(tasks) - 1), [short(task, 15) for task in tasks[:-1]])
    axes.tick_params(axis="x", rotation=35, labelcolor=INK, length=0)
    axes.tick_params(axis="y", labelcolor=INK)
    for label in axes.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)


def _draw_rate(axes: Axes, curve: Curve) -> None:
    drawn, smooth = curve.thinned(), curve.smoothed(0.15).thinned()
    axes.plot(drawn.step_P, drawn.value_P, color=BLUE, linewidth=0.7, alpha=0.45)
    axes.plot(smooth.step_P, smooth.value_P, color=BLUE, linewidth=1.8)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_title("pairs that conflict")
    step_axis(axes, curve.step_P[-1])


def _cosine(value: float) -> str:
    """Two decimals, a real minus, no minus before zero."""
    return f"{value + 0.0:.2f}".replace("-0.00", "0.00").replace("-", MINUS)
