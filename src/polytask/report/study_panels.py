"""Figures of a study: gains over separate models, and the front of static weights with all rows on it."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes

from polytask.records.study import FrontPoint, Paired, StudyRecord
from polytask.report.drawing import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, Panel, new_figure
from polytask.report.formatting import short
from polytask.report.heatmap import LEFT
from polytask.report.study_rows import gain_rows, numbers

_COLOURS = {
    "equal": BLUE,
    "static": MUTED,
    "rlw": PURPLE,
    "method": ORANGE,
    "single": INK,
    "trees": GREEN,
}
_MOST_PAIRS = 3
_WIDE = 130


def task_gains_panel(record: StudyRecord) -> Panel | None:
    """What is recommended against separate models, task by task."""
    lines = gain_rows(record)
    if not lines:
        return None
    return _forest(
        [(line.task, line.paired) for line in lines],
        "What is recommended, against separate models",
        "Each task's gain in its own metric on the test rows, with its 95 % interval; grey where no "
        "difference was detected.",
    )


def means_panel(record: StudyRecord) -> Panel | None:
    """All rows against separate models, in the mean of the tasks; against equal ones where these are missing."""
    for reference, name in (
        ("separate models", "mean_over_single"),
        ("equal weights", "mean_over_equal"),
    ):
        marks = numbers(record)
        found = [(f"{marks[row.name]} {row.title}", getattr(row, name)) for row in record.rows]
        known = [(title, paired) for title, paired in found if paired is not None]
        if known:
            return _forest(
                known,
                f"Every way to train, against {reference}",
                "The gain in the mean of the tasks' metrics, with its 95 % interval; grey where no difference was "
                "detected after correction. Numbers are those of the table.",
            )
    return None


def front_panels(record: StudyRecord) -> list[Panel]:
    """Validation metrics of two tasks at a time: static weights in grey, each row under its number."""
    pairs = [*combinations(record.tasks, 2)][:_MOST_PAIRS]
    marks = numbers(record)
    titles = {row.name: row.title for row in record.rows}
    panels = []
    for first, second in pairs:
        names = (first.name, second.name)
        points = [p for p in record.front if all(name in p.valid for name in names)]
        if not points:
            continue
        figure, (axes,) = new_figure(300, 1, left=64)
        static = [point for point in points if point.group == "static"]
        signs = [-1 if task.direction == "lower" else 1 for task in (first, second)]
        _draw_static(axes, static, names, signs)
        shown = [point for point in points if point.group != "static"]
        for point in shown:
            x, y = (point.valid[name] for name in names)
            axes.plot(x, y, "o", color=_COLOURS[point.group], markersize=6)
            axes.annotate(
                str(marks[point.title]),
                (x, y),
                textcoords="offset points",
                xytext=(5, 4),
                color=INK,
            )
        axes.set_xlabel(f"{short(first.name)}, {first.title}")
        axes.set_title(f"{short(second.name)}, {second.title}")
        axes.locator_params(nbins=4)
        for axis, task in ((axes.xaxis, first), (axes.yaxis, second)):
            if task.direction == "lower":
                axis.set_inverted(True)
        keys = ", ".join(f"{marks[p.title]} {titles[p.title]}" for p in shown)
        panels.append(
            Panel(
                f"{first.name} and {second.name}",
                figure,
                f"Right and up is better; validation rows, one training each. {keys}.",
            )
        )
    return panels


def _draw_static(
    axes: Axes, points: Sequence[FrontPoint], names: tuple[str, str], signs: Sequence[int]
) -> None:
    if not points:
        return
    values = np.array([[point.valid[name] for name in names] for point in points])
    axes.plot(*values.T, "o", color=MUTED, markersize=4)
    better = values * np.array(signs)
    undominated = [
        place
        for place, value in enumerate(better)
        if not any((other >= value).all() and (other > value).any() for other in better)
    ]
    front = values[sorted(undominated, key=lambda place: better[place, 0])]
    axes.plot(*front.T, color=MUTED, linewidth=1.2)


def _forest(lines: Sequence[tuple[str, Paired]], title: str, caption: str) -> Panel:
    is_wide = max(len(name) for name, _ in lines) > 16
    figure, (axes,) = new_figure(62 + 26 * len(lines), 1, left=_WIDE if is_wide else LEFT)
    axes.axvline(0, color=INK, linewidth=0.9)
    places = np.arange(len(lines))[::-1]
    for place, (_, paired) in zip(places, lines):
        gain = paired.gain
        shade = {"better": BLUE, "worse": ORANGE}.get(paired.verdict, MUTED)
        if gain.low is not None and gain.high is not None:
            axes.hlines(place, gain.low, gain.high, color=shade, linewidth=2.2, alpha=0.6)
        axes.plot(gain.value, place, "o", color=shade, markersize=6)
    axes.set_yticks(places, [short(name, 22 if is_wide else 16) for name, _ in lines])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(-0.7, len(lines) - 0.3)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(axis="y", visible=False)
    axes.set_title("gain: right is better")
    return Panel(title, figure, caption)
