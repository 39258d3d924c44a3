"""Heat maps of signed numbers: blue above zero, orange below, the number in the cell."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from polytask.report.drawing import BLUE, INK, MUTED, ORANGE
from polytask.report.formatting import MINUS, short
from polytask.report.series import Floats

LEFT = 112
"""Room for the names of the rows."""
_STRONGEST = 0.6
"""How opaque a full cell is: the number in it must stay readable."""


def draw_cells(
    axes: Axes,
    values_RC: Floats,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    full: float,
    most_numbered: int,
) -> None:
    """One cell a value, NaN none; a value of +-`full` is drawn strongest."""
    numbered = max(len(rows), len(columns)) <= most_numbered
    for (i, j), value in np.ndenumerate(values_RC):
        if not np.isnan(value):
            _draw_cell(axes, (j - 0.47, i - 0.47), value, strength=min(abs(value) / full, 1))
            if numbered:
                text = in_cell(value)
                axes.text(j, i, text, ha="center", va="center", color=INK, fontsize=10)
    axes.set_xlim(-0.55, len(columns) - 0.45)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_yticks(range(len(rows)), [short(row, 15) for row in rows])
    axes.set_xticks(range(len(columns)), [short(column, 15) for column in columns])
    axes.tick_params(axis="x", rotation=35, labelcolor=INK, length=0)
    axes.tick_params(axis="y", labelcolor=INK)
    for label in axes.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)


def signed(value: float) -> str:
    """Two decimals, a real minus, no minus before zero."""
    return f"{value + 0.0:.2f}".replace("-0.00", "0.00").replace("-", MINUS)


def in_cell(value: float) -> str:
    """As `signed`, with the digits that a cell has room for: three.

    >>> in_cell(1.184), in_cell(-15.41), in_cell(123.95)
    ('1.18', '−15.4', '124')
    """
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return signed(value) if decimals == 2 else f"{value:.{decimals}f}".replace("-", MINUS)


def _draw_cell(axes: Axes, corner: tuple[float, float], value: float, *, strength: float) -> None:
    colour = BLUE if value >= 0 else ORANGE
    opacity = _STRONGEST * strength
    axes.add_patch(Rectangle(corner, 0.94, 0.94, facecolor=colour, alpha=opacity, linewidth=0))
    axes.add_patch(Rectangle(corner, 0.94, 0.94, fill=False, edgecolor=MUTED, linewidth=0.5))
