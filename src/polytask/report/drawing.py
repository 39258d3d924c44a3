"""matplotlib figures as inline SVG that takes its colours and its font from the page."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from polytask.report.formatting import count

WIDTH = 340
"""Units of the SVG: about a pixel each on a phone, where a panel is as wide as the page."""
_POINTS_PER_INCH = 72
_LEFT, _RIGHT = 46, 12

# Okabe and Ito's colours (Color Universal Design, 2008). matplotlib draws with these; in the page
# each becomes a variable of the style sheet, which has a lighter shade of it for the dark.
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
AMBER, SKY = "#e69f00", "#56b4e9"
INK, MUTED, GRID, PAPER = "#1c2126", "#5b6670", "#dde2e6", "#fefefe"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY)
DASHES = ("-", "--", ":", "-.")
_VARIABLES = {
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    PURPLE: "--purple",
    AMBER: "--amber",
    SKY: "--sky",
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--card",
}
# Sizes, lines, and INK, MUTED and GRID once more.
_STYLE = Path(__file__).parent / "figures.mplstyle"


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A figure under its heading, and the caption that says what to see."""

    title: str
    figure: Figure
    caption: str


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, for as long as they are drawn."""
    with matplotlib.rc_context(fname=_STYLE):
        yield


def new_figure(
    height: float, *ratios: float, gap: float = 0.5, left: float = _LEFT, bottom: float = 38
) -> tuple[Figure, list[Axes]]:
    """A figure of the panels' width with one axes above another, `left` and `bottom` of it for
    the labels."""
    figure = Figure(figsize=(WIDTH / _POINTS_PER_INCH, height / _POINTS_PER_INCH))
    FigureCanvasSVG(figure)
    grid = figure.add_gridspec(
        nrows=len(ratios) or 1,
        height_ratios=ratios or (1.0,),
        left=left / WIDTH,
        right=1 - _RIGHT / WIDTH,
        bottom=bottom / height,
        top=1 - 20 / height,
        hspace=gap,
    )
    return figure, [figure.add_subplot(grid[place]) for place in range(len(ratios) or 1)]


def colour(position: int) -> str:
    return SERIES[position % len(SERIES)]


def dash(position: int) -> str:
    """Neighbours differ in their kind of line as well as in colour."""
    return DASHES[position % len(DASHES)]


def step_axis(axes: Axes, last_step: float, *, label: bool = True) -> None:
    """Steps along x, few and whole."""
    axes.set_xlim(0, max(last_step, 1) * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    if label:
        axes.set_xlabel("step")


def to_svg(panel: Panel, *, name: str) -> str:
    """The panel's figure as an <svg> element; `name` keeps its ids apart from other figures' ids."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    panel.figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = _bare(buffer.getvalue())
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'xlink:href="#', f'href="#{name}-', text)
    for drawn, variable in _VARIABLES.items():
        text = text.replace(drawn, f"var({variable})")
    label = escape(f"{panel.title}. {panel.caption}")
    opening = f'<svg role="img" aria-label="{label}" viewBox="{_view_box(text)}">'
    return opening + text[text.index(">") + 1 :].strip()


def _bare(text: str) -> str:
    """From `<svg` on, without what the page does not need: styles, fonts, ids that nobody names.

    Sizes of text stay, families are the page's: `font: 10px 'DejaVu Sans'` -> `font-size: 10px`.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style)\b.*?</\1>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"font: (?:\w+ )*?([\d.]+px)[^;\"]*", r"font-size: \1", text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    named = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda m: m.group(0) if m.group(1) in named else "", text)
    return re.sub(r"\s*\n\s*", " ", text)


def _view_box(text: str) -> str:
    found = re.search(r'viewBox="([^"]*)"', text)
    assert found is not None
    return found.group(1)
