"""A run folder's records -> the HTML page, whose words stand in the template."""

from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from polytask.records import Figures, RunRecord
from polytask.records.comparison import SLIGHT, Row
from polytask.report import formatting, text
from polytask.report.auxiliary import auxiliary_panels, auxiliary_words
from polytask.report.conflicts import conflict_panel, cosine_panel
from polytask.report.drawing import Panel, style, to_svg
from polytask.report.gains import gain_panel
from polytask.report.gates import gate_panels, shared_finding
from polytask.report.rates import constant_weights, pace_panel, weights_panel
from polytask.report.reading import ReportedRun
from polytask.report.scores import score_panels
from polytask.report.stitches import mask_panel, stitch_panels
from polytask.report.training import training_panels


def render(run: ReportedRun) -> str:
    """The whole page, self-contained."""
    metrics, figures = run.metrics, run.figures
    groups = _by_task(metrics)
    mains = [rows[0] for rows in groups]
    with style():
        training = training_panels(run)
        return (
            page_environment()
            .get_template("page.html.j2")
            .render(
                run=run,
                metrics=metrics,
                figures=figures,
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
                training=_drawn(*training, pace_panel(run)) if training else [],
                constant_weights=constant_weights(run),
                balancing=_drawn(weights_panel(run), cosine_panel(run), conflict_panel(run)),
                auxiliary=auxiliary_panels(run),
                auxiliary_words=auxiliary_words(run),
                scores=score_panels(figures) if figures else (),
                mixing=_mixing(figures) if figures else [],
                shared=shared_finding(figures) if figures else "",
                command=text.command(run),
                environment=asdict(metrics.environment) if metrics else {},
            )
        )


def _drawn(*panels: Panel | None) -> list[Panel]:
    return [panel for panel in panels if panel is not None]


def _mixing(figures: Figures) -> list[Panel]:
    """What the trunk does: gates, or stitches, or masks."""
    return _drawn(*stitch_panels(figures), mask_panel(figures), *gate_panels(figures))


def _by_task(metrics: RunRecord | None) -> list[list[Row]]:
    """The rows of each task that has some; many tasks are sorted by the gain in their main metric."""
    results = metrics.tasks if metrics is not None else {}
    groups = [[*result.rows(task)] for task, result in results.items()]
    groups = [rows for rows in groups if rows]
    if len(groups) > formatting.MANY:
        groups.sort(key=lambda rows: -rows[0].gain.value if rows[0].gain is not None else 0.0)
    return groups


def page_environment() -> Environment:
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
