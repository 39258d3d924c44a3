"""What multi-task training changed, drawn: the gains with their intervals, and the costs."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from polytask.records import RunRecord
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
from polytask.report.formatting import listing, percent, plural, short
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


def cost_panel(metrics: RunRecord) -> Panel | None:
    """One model as a share of the K models; None without single-task models."""
    one, several = metrics.cost.multi_task, metrics.cost.single_task
    if several is None:
        return None
    shares = {
        "parameters": one.parameters / max(several.parameters, 1),
        "training time": one.train_seconds / max(several.train_seconds, 1e-9),
        "prediction time": one.microseconds_per_row / max(several.microseconds_per_row, 1e-9),
    }
    figure, (axes,) = new_figure(_ROW * 3 + 74, 1, left=98)
    places = np.arange(len(shares))[::-1]
    axes.barh(places, list(shares.values()), height=0.55, color=BLUE, alpha=0.75)
    for place, share in zip(places, shares.values()):
        axes.annotate(
            percent(share),
            (share, place),
            *((6, 0), "data", "offset points"),
            va="center",
            color=INK,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
        )
    axes.axvline(1, color=MUTED, linewidth=1, linestyle="--")
    axes.set_yticks(places, list(shares))
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, max(1.08, 1.2 * max(shares.values())))
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
    axes.set_title(f"share of {plural(metrics.num_single_models, 'model')} together")
    told = [f"{percent(share)} of the {name}" for name, share in shares.items()]
    caption = f"One model takes {listing(told)} of {plural(metrics.num_single_models, 'single-task model')}."
    return Panel("One model against several", figure, caption)


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
