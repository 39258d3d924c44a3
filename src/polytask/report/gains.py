"""What multi-task training changed: each gain with its interval."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from polytask.records.comparison import Row, Verdict
from polytask.report.drawing import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    Panel,
    new_figure,
)
from polytask.report.formatting import short
from polytask.report.text import by_verdict

_COLOURS = {Verdict.BETTER: BLUE, Verdict.WORSE: ORANGE}
_MARKERS = {Verdict.BETTER: ">", Verdict.WORSE: "<"}
_ROW = 26


def gain_panel(mains: list[Row]) -> Panel | None:
    """Each task's gain in its main metric; metrics apart, because their units differ."""
    drawn = [row for row in mains if row.gain is not None]
    if not drawn:
        return None
    by_metric = {
        title: [row for row in drawn if row.multi.title == title]
        for title in dict.fromkeys(row.multi.title for row in drawn)
    }
    heights = [_ROW * len(group) + 8 for group in by_metric.values()]
    figure, places = new_figure(sum(heights) + 44 * len(heights) + 18, *heights, gap=0.9, left=112)
    for axes, (title, group) in zip(places, by_metric.items()):
        _draw_gains(axes, title, group)
    return Panel("Gain over single-task", figure, f"One model for all is {by_verdict(drawn)}.")


def _draw_gains(axes: Axes, title: str, rows: list[Row]) -> None:
    places = np.arange(len(rows))[::-1]
    axes.axvline(0, color=INK, linewidth=0.9)
    largest = 0.0
    for place, row in zip(places, rows):
        assert row.gain is not None
        gain = row.gain
        colour = MUTED if row.verdict is None else _COLOURS.get(row.verdict, MUTED)
        marker = "o" if row.verdict is None else _MARKERS.get(row.verdict, "o")
        if gain.low is not None and gain.high is not None:
            axes.hlines(place, gain.low, gain.high, color=colour, linewidth=2.2, alpha=0.6)
            largest = max(largest, abs(gain.low), abs(gain.high))
        axes.plot(gain.value, place, marker, color=colour, markersize=7, markeredgecolor=PAPER)
        largest = max(largest, abs(gain.value))
    axes.set_yticks(places, [short(row.task, 16) for row in rows])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlim(-1.12 * (largest or 1), 1.12 * (largest or 1))
    axes.xaxis.set_major_locator(MaxNLocator(3, symmetric=True))
    axes.grid(axis="y", visible=False)
    axes.set_title(f"gain in {title}: right is better")
