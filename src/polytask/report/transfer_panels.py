"""Figures of a study of transfer: matrices of gains and scores, gains with intervals, capacity."""

from collections.abc import Sequence

import numpy as np

from polytask.records.transfer import CapacityPoint, CheapScore, Effect
from polytask.report.drawing import BLUE, INK, MUTED, ORANGE, Panel, colour, dash, new_figure
from polytask.report.formatting import short
from polytask.report.heatmap import LEFT, draw_cells
from polytask.report.transfer import matrix_of

_MOST_NUMBERED = 8


def effect_matrix_panel(
    names: Sequence[str], effects: Sequence[Effect], title: str, caption: str
) -> Panel | None:
    """Gains by cause and task, in thousandths."""
    values_TT = 1000 * matrix_of(names, effects)
    if np.isnan(values_TT).all():
        return None
    full = max(float(np.nanmax(np.abs(values_TT))), 1e-9)
    return _matrix_panel(title, caption, values_TT, names, full)


def score_panel(names: Sequence[str], score: CheapScore) -> Panel:
    """A cheap score of every pair; tiny ones are shown in parts of the largest."""
    values_TT = np.array([[np.nan if v is None else v for v in row] for row in score.matrix])
    largest = float(np.nanmax(np.abs(values_TT)))
    caption = f"{score.meaning[:1].upper()}{score.meaning[1:]}."
    if 0 < largest < 0.05:
        power = int(np.ceil(-np.log10(largest)))
        values_TT = values_TT * 10.0**power
        caption += f" Numbers are times 10^{power}."
        largest *= 10.0**power
    return _matrix_panel(
        f"{score.title[:1].upper()}{score.title[1:]}", caption, values_TT, names, max(largest, 1e-9)
    )


def effects_panel(effects: Sequence[Effect], title: str) -> Panel | None:
    """A gain a task with its interval."""
    if not effects:
        return None
    figure, (axes,) = new_figure(62 + 26 * len(effects), 1, left=LEFT)
    axes.axvline(0, color=INK, linewidth=0.9)
    places = np.arange(len(effects))[::-1]
    for place, effect in zip(places, effects):
        gain = effect.gain
        is_sure = gain.low is not None and gain.high is not None and not gain.covers_zero
        shade = (BLUE if gain.value > 0 else ORANGE) if is_sure else MUTED
        if gain.low is not None and gain.high is not None:
            axes.hlines(place, gain.low, gain.high, color=shade, linewidth=2.2, alpha=0.6)
        axes.plot(gain.value, place, "o", color=shade, markersize=6)
    axes.set_yticks(places, [short(effect.task, 16) for effect in effects])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(-0.7, len(effects) - 0.3)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(axis="y", visible=False)
    axes.set_title("gain over training alone: right is better")
    caption = (
        "Each task's gain in its own metric when all are trained in one model, with its 95 % interval; "
        "grey where the interval covers zero."
    )
    return Panel(title, figure, caption)


def capacity_panels(points: Sequence[CapacityPoint]) -> list[Panel]:
    """The metric of each task over the width of the shared layer: one model for all, and alone."""
    panels = []
    for task in dict.fromkeys(point.task for point in points):
        own = [point for point in points if point.task == task]
        widths = [point.width for point in own]
        figure, (axes,) = new_figure(230, 1)
        for place, (label, values) in enumerate(
            (("together", [p.together for p in own]), ("alone", [p.alone for p in own]))
        ):
            axes.plot(widths, values, dash(place), color=colour(place), marker="o", label=label)
        axes.set_xscale("log")
        axes.set_xticks(widths, [str(width) for width in widths])
        axes.minorticks_off()
        axes.set_xlabel("width of the shared layer")
        axes.legend(loc="best")
        best = max(own, key=lambda point: point.together).width
        caption = f"Together, {short(task)} is best at width {best}"
        caption += f"; alone at {max(own, key=lambda point: point.alone).width}."
        panels.append(Panel(short(task), figure, caption))
    return panels


def _matrix_panel(
    title: str,
    caption: str,
    values_TT: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
    names: Sequence[str],
    full: float,
) -> Panel:
    figure, (axes,) = new_figure(90 + 28 * len(names), 1, left=LEFT, bottom=66)
    draw_cells(axes, values_TT, names, names, full=full, most_numbered=_MOST_NUMBERED)
    return Panel(title, figure, caption)
