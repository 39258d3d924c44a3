"""Stitches and masks: which network a task reads, and how much of what is shared it lets through."""

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from polytask.report.drawing import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    Panel,
    colour,
    dash,
    new_figure,
    to_svg,
)
from polytask.report.records import Figures, Mask, Stitch
from polytask.report.words import MINUS, listing, short

_LEFT = 112
_MOST_NUMBERED = 7
_STRONGEST = 0.6
"""How opaque the largest weight is: the number in the cell must stay readable."""


def stitch_panels(figures: Figures) -> tuple[Panel, ...]:
    """One heat map a layer, rows read columns."""
    panels = []
    for position, stitch in enumerate(figures.stitches):
        title = f"After layer {stitch.layer}" if _is_square(stitch) else "What the towers read"
        caption = _stitch_finding(stitch)
        height = 110 + 28 * len(stitch.rows)
        figure, (axes,) = new_figure(height, 1, left=_LEFT)
        _draw_cells(axes, stitch)
        svg = to_svg(figure, name=f"stitch{position}", label=f"{title}. {caption}")
        panels.append(Panel(title, svg, caption))
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
    caption = _mask_finding(figures.masks)
    svg = to_svg(figure, name="masks", label=f"Masks by layer. {caption}")
    return Panel("How far each task opens each layer", svg, caption)


def _stitch_finding(stitch: Stitch) -> str:
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
    told = f"{short(row)} reads most from {short(source)}: {_number(weight)}. Rows read columns."
    return told if _is_square(stitch) else f"{told} A tower reads a sum over the layers."


def _is_square(stitch: Stitch) -> bool:
    """Whether what is read into is also what is read."""
    return stitch.rows == stitch.sources


def _mask_finding(masks: tuple[Mask, ...]) -> str:
    last = max(mask.layer for mask in masks)
    told = [f"{short(m.task)} lets {m.mean:.2f} through" for m in masks if m.layer == last]
    return (
        f"At the last layer {listing(told)} in the mean. 1 for all features is hard sharing; whiskers "
        "hold the middle eight tenths of the features."
    )


def _draw_cells(axes: Axes, stitch: Stitch) -> None:
    largest = max(abs(weight) for weights in stitch.weights for weight in weights) or 1.0
    numbered = max(len(stitch.rows), len(stitch.sources)) <= _MOST_NUMBERED
    for i, weights in enumerate(stitch.weights):
        for j, weight in enumerate(weights):
            corner, strength = (j - 0.47, i - 0.47), _STRONGEST * abs(weight) / largest
            filled = BLUE if weight >= 0 else ORANGE
            axes.add_patch(
                Rectangle(corner, 0.94, 0.94, facecolor=filled, alpha=strength, linewidth=0)
            )
            axes.add_patch(
                Rectangle(corner, 0.94, 0.94, fill=False, edgecolor=MUTED, linewidth=0.5)
            )
            if numbered:
                text = _number(weight)
                axes.text(j, i, text, ha="center", va="center", color=INK, fontsize=10)
    axes.set_xlim(-0.55, len(stitch.sources) - 0.45)
    axes.set_ylim(len(stitch.rows) - 0.45, -0.55)
    axes.set_yticks(range(len(stitch.rows)), [short(row, 15) for row in stitch.rows])
    axes.set_xticks(range(len(stitch.sources)), [short(source, 15) for source in stitch.sources])
    axes.tick_params(axis="x", rotation=35, labelcolor=INK, length=0)
    axes.tick_params(axis="y", labelcolor=INK)
    for label in axes.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)


def _number(value: float) -> str:
    return f"{value + 0.0:.2f}".replace("-0.00", "0.00").replace("-", MINUS)
