"""What the page says in words and tables: the run in a line, its data, its cost, its command."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from polytask.records import Cost, LabelRecord, RunRecord
from polytask.report.formatting import (
    NOTHING,
    PARTS,
    count,
    listing,
    number,
    on_tasks,
    percent,
    plural,
    seconds,
    short,
)
from polytask.report.reading import ReportedRun
from polytask.report.results import SLIGHT, Row, Verdict

_MOST_FACTS = 4


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
    named = {v: [_named(row) for row in compared if row.verdict is v] for v in Verdict}
    words = {Verdict.BETTER: "better", Verdict.WORSE: "worse"}
    words |= {Verdict.NONE: "not detectably different"}
    told = [
        f"{said} on {on_tasks(named[v], len(compared))}" for v, said in words.items() if named[v]
    ]
    return (
        f"Against one model a task, the one model for all is {'; '.join(told)}. {_losers(compared)}"
        "Each model was trained with one seed; another may reverse small differences."
    )


def _losers(rows: list[Row]) -> str:
    """Where neither model is of use, which a gain alone would hide."""
    names = [row.task for row in rows if row.loses_to_the_mean]
    if not names:
        return ""
    return f"On {on_tasks(names, len(rows))} both lose to always predicting the mean (R² below 0). "


def _named(row: Row) -> str:
    slight = row.is_slight and row.verdict in (Verdict.BETTER, Verdict.WORSE)
    return f"{row.task} (by less than {SLIGHT})" if slight else row.task


def source(run: ReportedRun) -> str:
    """What was trained on, and when."""
    table = run.options.get("table")
    parts = [Path(str(table)).name if table else "a table from memory"]
    if run.metrics is not None:
        created = datetime.fromisoformat(run.metrics.created)
        parts.append(f"{created.day} {created:%B %Y, %H:%M} UTC")
    return " · ".join(parts)


def facts(run: ReportedRun, rows: tuple[Row, ...]) -> tuple[Fact, ...]:
    """The few figures to know first: the results, and on how many rows they rest."""
    mains = [row for row in rows if row.is_main]
    metrics = run.metrics
    if metrics is None or not mains:
        return (Fact(count(len(run.tasks)), "tasks"),)
    part = metrics.reported_part or ""
    rest = [
        Fact(count(metrics.data.rows[name]), f"{PARTS[name]} rows")
        for name in ("train", part)
        if name in metrics.data.rows
    ]
    if len(mains) <= _MOST_FACTS:
        return (*(Fact(number(row.multi.value), _of_task(row)) for row in mains), *rest)
    found = [Fact(count(len(mains)), "tasks in one model")]
    for verdict, words in ((Verdict.BETTER, "better"), (Verdict.WORSE, "worse")):
        number_of = sum(row.verdict is verdict for row in mains)
        if metrics.num_single_models:
            found.append(Fact(count(number_of), f"tasks {words} than by a model of their own"))
    return (*found, *rest)


def _of_task(row: Row) -> str:
    name = f"{short(row.task)}: {row.multi.title}"
    if row.gain is None:
        return name
    decided = "" if row.verdict in (Verdict.BETTER, Verdict.WORSE) else ", which may be chance"
    return f"{name}, {number(row.gain.value, signed=True)} by sharing{decided}"


def meanings(metrics: RunRecord | None, rows: Iterable[Row]) -> tuple[tuple[str, str], ...]:
    """What the metrics of these rows mean: (title, meaning)."""
    glossary = metrics.glossary if metrics is not None else {}
    titles = {row.multi.name: row.multi.title for row in rows}
    return tuple((title, glossary[name]) for name, title in titles.items() if name in glossary)


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
    found += [f"{text[:1].upper()}{text[1:]}." for text in metrics.advice]
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
