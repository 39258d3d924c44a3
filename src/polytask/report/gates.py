"""Gate weights: the mean of each expert's weight, and its spread over the rows, per gate."""

import numpy as np
from matplotlib.figure import Figure

from polytask.records import Figures, GateFigures
from polytask.report.drawing import BLUE, INK, MUTED, Panel, new_figure
from polytask.report.formatting import listing, percent, short
from polytask.report.series import effective_number

_MOST_TICKS = 16


def gate_panels(figures: Figures) -> tuple[Panel, ...]:
    """One panel a gate, all with one scale, so that tasks can be compared."""
    tops = [mean + std for gate in figures.gates for mean, std in zip(gate.mean, gate.std)]
    panels = []
    for gate in figures.gates:
        several = any(other.level != gate.level for other in figures.gates)
        title = f"{gate.task}, level {gate.level}" if several else gate.task
        panels.append(Panel(title, _draw(gate, max(tops)), finding(gate)))
    return tuple(panels)


def finding(gate: GateFigures) -> str:
    """The expert that the task leans on, how it varies, and how evenly all are used."""
    first = int(np.argmax(gate.mean))
    number_of = len(gate.mean)
    told = (
        f"{short(gate.task)} leans most on {gate.experts[first]} ({gate.mean[first]:.2f} ± "
        f"{gate.std[first]:.2f}) and spreads over {effective_number(gate.mean):.1f} of "
        f"{number_of} experts."
    )
    idle = [name for name, mean in zip(gate.experts, gate.mean) if mean < 0.25 / number_of]
    if len(idle) > 2:
        return f"{told} It hardly uses {len(idle)} of them."
    return f"{told} It hardly uses {listing(idle)}." if idle else told


def shared_finding(figures: Figures) -> str:
    """Which tasks mix the experts most alike and most differently, by the overlap of their means."""
    pairs = []
    for i, one in enumerate(figures.gates):
        for other in figures.gates[i + 1 :]:
            if one.task != other.task and one.level == other.level and one.experts == other.experts:
                overlap = sum(min(a, b) for a, b in zip(one.mean, other.mean))
                pairs.append((overlap, one.task, other.task))
    if not pairs:
        return ""
    high, low = max(pairs), min(pairs)
    told = f"{high[1]} and {high[2]} share {percent(high[0])} of their gates' weight"
    if len(pairs) > 1:
        told += f", {low[1]} and {low[2]} only {percent(low[0])}"
    return f"{told} (the overlap of their means)."


def _draw(gate: GateFigures, top: float) -> Figure:
    figure, (axes,) = new_figure(210, 1)
    places = np.arange(1, len(gate.mean) + 1)
    axes.bar(places, gate.mean, width=0.72, color=BLUE, alpha=0.75)
    axes.errorbar(
        places,
        gate.mean,
        yerr=np.stack([np.minimum(gate.std, gate.mean), gate.std]),
        fmt="none",
        ecolor=INK,
        elinewidth=1.2,
        capsize=2.5,
    )
    axes.axhline(1 / len(gate.mean), color=MUTED, linewidth=1, linestyle="--")
    axes.set_ylim(0, top * 1.08)
    axes.set_title("weight")
    axes.set_xlabel("expert")
    axes.grid(axis="x", visible=False)
    axes.set_xticks(places[:: 1 + (len(places) - 1) // _MOST_TICKS])
    return figure
