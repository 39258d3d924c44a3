"""A run folder's records -> the HTML page."""

from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from polytask.records import Figures, RunRecord
from polytask.records.comparison import SLIGHT, Row
from polytask.report import formatting, text
from polytask.report.conflicts import conflict_panel, cosine_panel
from polytask.report.drawing import Panel, style, to_svg
from polytask.report.gains import gain_panel
from polytask.report.gates import gate_panels, shared_finding
from polytask.report.rates import constant_weights, pace_panel, weights_panel
from polytask.report.reading import ReportedRun
from polytask.report.scores import score_panels
from polytask.report.stitches import mask_panel, stitch_panels
from polytask.report.training import training_panels


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page. Where there is nothing to draw, `absent` says why."""

    anchor: str
    title: str
    lead: str
    panels: tuple[Panel, ...]
    absent: str = ""


def render(run: ReportedRun) -> str:
    """The whole page, self-contained."""
    metrics = run.metrics
    groups = _by_task(metrics)
    mains = [rows[0] for rows in groups]
    with style():
        drawn = (_training(run), _balancing(run), _scores(run), _gates(run))
        return (
            _environment()
            .get_template("page.html.j2")
            .render(
                run=run,
                metrics=metrics,
                name=Path(run.folder).resolve().name,
                headline=text.headline(run),
                verdict=text.verdict(run, mains),
                source=text.source(run),
                facts=text.facts(run, mains),
                warnings=text.warnings(run),
                mains=mains,
                groups=groups,
                has_singles=any(row.single is not None for row in mains),
                notes=text.notes(metrics),
                main_meanings=text.meanings(metrics, mains),
                meanings=text.meanings(metrics, [row for rows in groups for row in rows]),
                part=formatting.PARTS.get(metrics.reported_part or "", "") if metrics else "",
                gain=gain_panel(mains),
                # All tasks weighed alike throughout is told in words; there is no section of it.
                sections=[section for section in drawn if section.panels or section.absent],
                command=text.command(run),
                environment=asdict(metrics.environment) if metrics else {},
            )
        )


def _training(run: ReportedRun) -> Section:
    panels = list(training_panels(run))
    pace = pace_panel(run)
    if panels and pace is not None:
        panels.append(pace)
    return Section(
        "training",
        "Training",
        "Each task has its loss above and its validation metric below, over the optimizer's steps. "
        "Rising metrics are good; a validation loss that rises while the training loss falls means "
        f"overfitting. {constant_weights(run)}".strip(),
        tuple(panels),
        "There are no curves: steps.jsonl is missing or empty.",
    )


def _balancing(run: ReportedRun) -> Section:
    drawn = (weights_panel(run), cosine_panel(run), conflict_panel(run))
    return Section(
        "balancing",
        "Balancing: how the tasks were weighed",
        "The weight of each task over the steps, and, where the balancer looked at the tasks' gradients, "
        "how they met. Tasks that pull hard against each other, or weights that run away, are a reason "
        "to try another balancer or trunk, and no fault by themselves; pairs whose cosine is about "
        "zero conflict in half of the steps by chance alone.",
        tuple(panel for panel in drawn if panel is not None),
    )


def _scores(run: ReportedRun) -> Section:
    figures = run.figures
    part = formatting.PARTS.get(figures.part or "", "") if figures is not None else ""
    return Section(
        "calibration",
        "Calibration and scores",
        f"Above, {part} rows in groups of about equal size by their prediction: on the dashed "
        "diagonal, what is predicted is what happens. Bars are 95 % intervals, rows taken as "
        "independent; a hollow point at the edge is a group without any yes, or with nothing else. Below, where the predictions lie, each curve adding up to 100 %; the "
        "farther apart yes and no, the better the model tells them from each other.",
        score_panels(figures) if figures is not None else (),
        "There are no predictions to draw: figures.json is missing, or there were no labelled "
        "validation or test rows.",
    )


def _gates(run: ReportedRun) -> Section:
    """What the trunk does: gates, or stitches, or masks."""
    figures = run.figures
    if figures is not None and (figures.stitches or figures.masks):
        return _mixing(figures)
    panels = gate_panels(figures) if figures is not None else ()
    told = ""
    if figures is not None and panels:
        part = formatting.PARTS.get(figures.gate_part, figures.gate_part)
        told = (
            f"Mean weight of each expert in a task's gate over {figures.gate_rows:,} {part} rows; "
            "whiskers reach one standard deviation from row to row, the dashed line is an even "
            f"gate. Short whiskers: the task mixes all rows alike. {shared_finding(figures)}"
        )
        if figures.collapse is not None:
            told = f"{told.strip()} Warning: {figures.collapse}."
    return Section(
        "gates",
        "Gates: which task uses which expert",
        told.strip(),
        panels,
        "The trunk of this run has no gates, or figures.json is missing.",
    )


def _mixing(figures: Figures) -> Section:
    part = formatting.PARTS.get(figures.gate_part, figures.gate_part)
    if figures.stitches:
        return Section(
            "gates",
            "Stitches: which task reads which network",
            "After each layer every task goes on with a weighted sum of all tasks' features. A strong "
            "diagonal: the tasks keep to themselves; equal cells: they share all.",
            stitch_panels(figures),
        )
    panel = mask_panel(figures)
    return Section(
        "gates",
        "Masks: how much of what is shared each task lets through",
        f"Each task multiplies the shared features by a mask of its own, seen on "
        f"{figures.gate_rows:,} {part} rows.",
        () if panel is None else (panel,),
    )


def _by_task(metrics: RunRecord | None) -> list[list[Row]]:
    """The rows of each task that has some; many tasks are sorted by the gain in their main metric."""
    results = metrics.tasks if metrics is not None else {}
    groups = [[*result.rows(task)] for task, result in results.items()]
    groups = [rows for rows in groups if rows]
    if len(groups) > formatting.MANY:
        groups.sort(key=lambda rows: -rows[0].gain.value if rows[0].gain is not None else 0.0)
    return groups


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": formatting.number,
        "count": formatting.count,
        "percent": formatting.percent,
        "seconds": formatting.seconds,
        "plural": formatting.plural,
        "part": lambda part: formatting.PARTS.get(part, part),
        "mean": text.label_mean,
        "missing": text.missing_labels,
        "remark": text.label_remark,
        "svg": partial(_numbered_svg, count()),
    }
    environment.globals |= {"slight": SLIGHT, "decimals": formatting.decimals}
    return environment


def _numbered_svg(numbers: "count[int]", panel: Panel) -> str:
    return to_svg(panel, name=f"figure{next(numbers)}")
