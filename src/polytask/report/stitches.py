"""Stitches and masks: which network a task reads, and how much of what is shared it lets through."""

import numpy as np

from polytask.records import Figures, MaskFigures, StitchFigures
from polytask.report.drawing import Panel, colour, dash, new_figure
from polytask.report.formatting import listing, short
from polytask.report.heatmap import LEFT, draw_cells, signed


def stitch_panels(figures: Figures) -> tuple[Panel, ...]:
    """One heat map a layer, rows read columns."""
    panels = []
    for stitch in figures.stitches:
        title = f"After layer {stitch.layer}" if _is_square(stitch) else "What the towers read"
        height = 110 + 28 * len(stitch.rows)
        figure, (axes,) = new_figure(height, 1, left=LEFT)
        weights_RS = np.array(stitch.weights)
        full = float(np.abs(weights_RS).max()) or 1.0
        draw_cells(axes, weights_RS, stitch.rows, stitch.sources, full=full, most_numbered=7)
        panels.append(Panel(title, figure, _stitch_finding(stitch)))
    return tuple(panels)


def mask_panel(figures: Figures) -> Panel | None:
    """Mean mask of each task by layer, with the spread over the features."""
    if not figures.masks:
        return None
    tasks = tuple(dict.fromkeys(mask.task for mask in figures.masks))
    figure, (axes,) = new_figure(240, 1)
    for place, task in enumerate(tasks):
        masks = [mask for mask in figures.masks if mask.task == task]
        layers = [mask.layer + 0.08 * (place - (len(tasks) - 1) / 2) for mask in masks]
        means = [mask.mean for mask in masks]
        spread = [[m.mean - m.low for m in masks], [m.high - m.mean for m in masks]]
        axes.errorbar(
            layers,
            means,
            yerr=spread,
            color=colour(place),
            linestyle=dash(place),
            label=short(task),
            marker="o",
            markersize=3.5,
            capsize=2.5,
        )
    axes.set_ylim(-0.02, 1.02)
    axes.set_xticks(sorted({mask.layer for mask in figures.masks}))
    axes.set_title("mask")
    axes.set_xlabel("layer")
    axes.legend(loc="lower left", ncols=2)
    return Panel("How far each task opens each layer", figure, _mask_finding(figures.masks))


def _stitch_finding(stitch: StitchFigures) -> str:
    """Who reads most from somebody else."""
    foreign = [
        (abs(weight), row, source, weight)
        for row, weights in zip(stitch.rows, stitch.weights)
        for source, weight in zip(stitch.sources, weights)
        if row != source
    ]
    if not foreign:
        return "There is one network only."
    _, row, source, weight = max(foreign)
    told = f"{short(row)} reads most from {short(source)}: {signed(weight)}. Rows read columns."
    return told if _is_square(stitch) else f"{told} A tower reads a sum over the layers."


def _is_square(stitch: StitchFigures) -> bool:
    """Whether what is read into is also what is read."""
    return stitch.rows == stitch.sources


def _mask_finding(masks: tuple[MaskFigures, ...]) -> str:
    last = max(mask.layer for mask in masks)
    told = [f"{short(m.task)} lets {m.mean:.2f} through" for m in masks if m.layer == last]
    return (
        f"At the last layer {listing(told)} in the mean. 1 for all features is hard sharing; whiskers "
        "hold the middle eight tenths of the features."
    )
