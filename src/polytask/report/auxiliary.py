"""What was trained on for the goals' sake: each extra loss's own curves, and what all of it did."""

import numpy as np
from matplotlib.axes import Axes

from polytask.records import AuxiliaryRecord, ExtraLoss
from polytask.records.comparison import Verdict
from polytask.report.drawing import BLUE, INK, MUTED, Panel, new_figure, step_axis
from polytask.report.formatting import PARTS, listing, number, percent, plural, short
from polytask.report.reading import ReportedRun
from polytask.report.series import Curve, curve_of, training_losses, training_weights


def auxiliary_panels(run: ReportedRun) -> tuple[Panel, ...]:
    """One panel an extra loss: the loss, and below it its accuracy, or its weight where that moves."""
    record = run.metrics.auxiliary if run.metrics is not None else None
    losses = record.losses if record is not None else ()
    panels = (_panel(run, loss) for loss in losses)
    return tuple(panel for panel in panels if panel is not None)


def _panel(run: ReportedRun, loss: ExtraLoss) -> Panel | None:
    name = loss.name
    curve = training_losses(run.steps, name)
    if not len(curve):
        return None
    accuracy = curve_of(run.steps, lambda step: step.accuracies.get(name))
    weight = training_weights(run.steps, name)
    below = accuracy if len(accuracy) else weight
    has_below = len(accuracy) > 0 or float(np.ptp(weight.value_P)) > 1e-9
    figure, axes = new_figure(340 if has_below else 240, *((1, 1) if has_below else (1,)), gap=0.42)
    _draw(axes[0], curve)
    axes[0].set_title("loss")
    step_axis(axes[0], curve.step_P[-1], label=not has_below)
    if has_below:
        _draw(axes[1], below)
        axes[1].set_title("accuracy" if len(accuracy) else "weight")
        step_axis(axes[1], curve.step_P[-1])
    if len(accuracy) and loss.chance is not None:
        axes[1].axhline(loss.chance, color=INK, linewidth=1, linestyle="--")
        place = (0.99, loss.chance)
        where = axes[1].get_yaxis_transform()
        axes[1].text(*place, "chance", transform=where, color=MUTED, va="bottom", ha="right")
    return Panel(name, figure, " ".join(_findings(loss, curve, weight)))


def _draw(axes: Axes, curve: Curve) -> None:
    thin = curve.thinned()
    smooth = thin.smoothed()
    axes.plot(thin.step_P, thin.value_P, color=BLUE, linewidth=0.7, alpha=0.45)
    axes.plot(smooth.step_P, smooth.value_P, color=BLUE, linewidth=1.6)
    axes.margins(y=0.12)


def _findings(loss: ExtraLoss, curve: Curve, weight: Curve) -> list[str]:
    smooth = curve.smoothed().value_P
    found = [f"The loss goes from {number(float(smooth[0]))} to {number(float(smooth[-1]))}."]
    if len(weight):
        first, last = float(weight.value_P[0]), float(weight.value_P[-1])
        moves = first != last
        found.append(
            f"Its weight goes from {first:.3g} to {last:.3g}."
            if moves
            else f"It weighs {first:.3g}."
        )
    if loss.accuracy is not None and loss.chance is not None:
        found.append(
            f"In the last steps it tells {percent(loss.accuracy)} of the rows right; always saying the most "
            f"frequent would tell {percent(loss.chance)}."
        )
    return found


def auxiliary_words(run: ReportedRun) -> list[str]:
    """What it did to the goals and what it cost, a sentence each; how to find out where that is not known."""
    record = run.metrics.auxiliary if run.metrics is not None else None
    if record is None:
        return []
    return [_what(record), *_effects(record), *_cost(record)]


def _what(record: AuxiliaryRecord) -> str:
    parts = []
    if record.losses:
        parts.append(
            f"the extra loss{'es' * (len(record.losses) > 1)} {listing([x.name for x in record.losses])}"
        )
    if record.tasks:
        parts.append(f"the auxiliary task{'s' * (len(record.tasks) > 1)} {listing(record.tasks)}")
    beside = f"Beside the goals the model was trained on {listing(parts)}." if parts else ""
    first = f" {listing(record.pretrained)} came first, alone." if record.pretrained else ""
    return (beside + first).strip()


def _effects(record: AuxiliaryRecord) -> list[str]:
    if not record.num_seeds:
        return ["Whether it helped was not measured: --compare-auxiliary=3 trains without it too."]
    if not record.effects:
        return ["Whether it helped is not known: no metric was defined on the rows."]
    named: dict[Verdict, list[str]] = {verdict: [] for verdict in Verdict}
    for effect in record.effects:
        named[Verdict.of(effect.gain)].append(short(effect.task))
    said = {
        Verdict.BETTER: "It helped",
        Verdict.WORSE: "It harmed",
        Verdict.NONE: "No effect was detected on",
        Verdict.OPEN: "The effect has no interval on",
    }
    found = [f"{said[v]} {listing(names)}." for v, names in named.items() if names]
    seeds = plural(record.num_seeds, "seed")
    on = PARTS.get(record.part or "", "")
    interval = (
        "rows and seeds" if record.num_seeds > 1 else "rows alone: another seed may reverse it"
    )
    return [
        *found,
        f"Measured on the {on} rows under {seeds}, with and without; intervals are of {interval}.",
    ]


def _cost(record: AuxiliaryRecord) -> list[str]:
    found = []
    ours, theirs = record.step_seconds_with, record.step_seconds_without
    if ours and theirs:
        found.append(f"A step took {ours / theirs:.2f} times as long as without.")
    if record.pretraining_seconds is not None:
        found.append(f"The stage before took {record.pretraining_seconds:.1f} s.")
    return found
