"""What the page says in words and tables: the run in a line, its data, its cost, its command."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from polytask.records import Cost, LabelRecord, RunRecord
from polytask.report.formatting import (
    NOTHING,
    PARTS,
    count,
    listing,
    number,
    percent,
    plural,
    seconds,
)
from polytask.report.reading import ReportedRun
from polytask.report.results import SLIGHT, Row, Verdict


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A line of the table of labels, in words."""

    task: str
    kind: str
    column: str
    rate: str
    labelled: str
    missing: str
    remark: str


@dataclass(frozen=True, slots=True)
class CostRow:
    """A line of the table of costs, in words."""

    name: str
    parameters: str
    train_time: str
    rows_per_second: str
    microseconds: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure that is worth being large, and what it counts."""

    figure: str
    meaning: str


def headline(run: ReportedRun) -> str:
    """What was trained, in a line."""
    trunk, balancer = (_name(run.options.get(key)) for key in ("trunk", "balancer"))
    parts = [f"{trunk} trunk", f"balancer {balancer}"]
    if run.metrics is not None:
        speed = run.metrics.speed
        parts.append(
            f"{plural(speed.steps, 'step')}, weights kept from step {count(speed.best_step)}"
        )
    return " · ".join(parts)


def verdict(run: ReportedRun, rows: tuple[Row, ...]) -> str:
    """Was it worth it? In a sentence, from the tasks' main metrics."""
    mains = [row for row in rows if row.is_main]
    if run.metrics is None:
        return "This run has not ended, or it was stopped: what follows is what there is so far."
    if not mains:
        return "There are neither test nor validation rows, so nothing was measured."
    compared = [row for row in mains if row.gain is not None]
    if not compared:
        return "No single-task models were trained beside it, so there is no gain to tell."
    if all(row.verdict is Verdict.OPEN for row in compared):
        return "Gains were measured without intervals, so none can be told from chance."
    groups = {v: [_named(row) for row in compared if row.verdict is v] for v in Verdict}
    told = []
    if groups[Verdict.BETTER]:
        told.append(f"better on {listing(groups[Verdict.BETTER])}")
    if groups[Verdict.WORSE]:
        told.append(f"worse on {listing(groups[Verdict.WORSE])}")
    if groups[Verdict.NONE]:
        told.append(f"not detectably different on {listing(groups[Verdict.NONE])}")
    return f"Against one model a task, the one model for all is {'; '.join(told)}."


def _named(row: Row) -> str:
    slight = row.is_slight and row.verdict in (Verdict.BETTER, Verdict.WORSE)
    return f"{row.task} (by less than {SLIGHT})" if slight else row.task


def facts(run: ReportedRun) -> tuple[Fact, ...]:
    """The few figures to know first."""
    metrics = run.metrics
    if metrics is None:
        return (Fact(count(len(run.tasks)), "tasks"),)
    found = [
        Fact(count(len(run.tasks)), "tasks in one model"),
        Fact(count(metrics.speed.train_rows), "training rows"),
        Fact(count(metrics.speed.train_rows_per_second), "rows trained a second"),
        Fact(count(metrics.cost.multi_task.parameters), "parameters"),
    ]
    several = metrics.cost.single_task
    if several is not None:
        share = metrics.cost.multi_task.parameters / max(several.parameters, 1)
        meaning = f"of the parameters of {plural(metrics.num_single_models, 'single-task model')}"
        found.append(Fact(percent(share), meaning))
    return tuple(found)


def warnings(run: ReportedRun) -> tuple[str, ...]:
    """What a reader must know before believing the figures."""
    found = []
    if run.missing:
        found.append(f"The run folder lacks {listing(run.missing)}; what rests on it is left out.")
    metrics = run.metrics
    if metrics is None:
        return tuple(found)
    allowed = run.options.get("allow")
    for leak in metrics.data.leaks:
        asked = " It was allowed." if isinstance(allowed, list) and leak.column in allowed else ""
        found.append(f"Possible leak: column {leak.finding}.{asked} Is it known before the event?")
    found += [
        f"{plural(label.conflicts, 'training row')} of {label.task} contradict the parent's label."
        for label in metrics.data.labels
        if label.conflicts
    ]
    if metrics.test_evaluations > 1:
        found.append(
            f"The run has met {metrics.test_evaluations} test tables; choosing by them makes their "
            "figures too good."
        )
    return tuple(found)


def label_rows(metrics: RunRecord | None) -> tuple[LabelRow, ...]:
    """The table of labels."""
    return tuple(_label_row(label) for label in metrics.data.labels) if metrics is not None else ()


def part_rows(metrics: RunRecord | None) -> tuple[tuple[str, str], ...]:
    """Parts and their rows, in words."""
    rows = metrics.data.rows if metrics is not None else {}
    return tuple((PARTS.get(part, part), count(number_of)) for part, number_of in rows.items())


def cost_rows(metrics: RunRecord | None) -> tuple[CostRow, ...]:
    """The one model, and the single-task models together if there are any."""
    if metrics is None:
        return ()
    one, several = metrics.cost.multi_task, metrics.cost.single_task
    rows = [_cost_row("one model", one)]
    if several is not None:
        rows.append(_cost_row(plural(metrics.num_single_models, "single-task model"), several))
    return tuple(rows)


def part_name(metrics: RunRecord | None) -> str:
    """The part that results are told of, in words."""
    return PARTS.get(metrics.reported_part or "", "") if metrics is not None else ""


def command(run: ReportedRun) -> str:
    """The command that repeats the run; TABLE stands for a table that came from memory."""
    words = ["polytask", "fit", *([] if run.options.get("table") else ["TABLE"])]
    words += ["--config", f"{run.folder}/run.yaml"]
    if run.metrics is not None:
        words += ["--threads", str(run.metrics.environment.threads)]
    return shlex.join([*words, "--out", f"{run.folder}-again"])


def environment(run: ReportedRun) -> tuple[tuple[str, str], ...]:
    """Seed and versions."""
    if run.metrics is None:
        return (("seed", str(run.options.get("seed", "0"))),)
    values = {"seed": run.metrics.seed, **asdict(run.metrics.environment)}
    return tuple((name.replace("_", " "), str(value)) for name, value in values.items())


def _label_row(label: LabelRecord) -> LabelRow:
    remarks = [
        f"yes is {label.positive}" if label.positive else "",
        f"given {label.given}" if label.given else "",
        f"trained on {label.transform}" if label.transform else "",
        "auxiliary" if label.auxiliary else "",
        f"{count(label.unseen)} of an unknown class" if label.unseen else "",
    ]
    total = label.labelled + label.missing
    return LabelRow(
        label.task,
        label.kind,
        label.column,
        _rate(label),
        count(label.labelled),
        _missing(label.missing, total),
        "; ".join(remark for remark in remarks if remark),
    )


def _rate(label: LabelRecord) -> str:
    if label.mean is None:
        return NOTHING
    if label.is_share:
        return f"{percent(label.mean, digits=3)} yes"
    if label.most_frequent is not None:
        most = f"{label.most_frequent} {percent(label.mean)}"
        return f"{plural(label.num_classes, 'class').replace('classs', 'classes')}, most {most}"
    return f"mean {number(label.mean)}{f' {label.unit}' if label.unit else ''}"


def _missing(missing: int, total: int) -> str:
    return f"{count(missing)} ({percent(missing / total)})" if missing and total else "none"


def _cost_row(name: str, cost: Cost) -> CostRow:
    return CostRow(
        name,
        count(cost.parameters),
        seconds(cost.train_seconds),
        count(cost.train_rows_per_second),
        f"{cost.microseconds_per_row:.2f}",
    )


def _name(option: object) -> str:
    return str(option.get("name", "?")) if isinstance(option, Mapping) else str(option or "?")
