"""What the page says in words: the run in a line, its results, its warnings, its command."""

import shlex
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from polytask.errors import in_python
from polytask.records import LabelRecord, RunRecord
from polytask.records.comparison import SLIGHT, Row, Verdict, losing, mending
from polytask.report.formatting import (
    NOTHING,
    PARTS,
    count,
    listing,
    number,
    on_tasks,
    percent,
    plural,
    short,
)
from polytask.report.reading import ReportedRun

_MOST_FACTS = 4
_SAID = {
    Verdict.BETTER: "better",
    Verdict.WORSE: "worse",
    Verdict.NONE: "not detectably different",
    Verdict.OPEN: "not compared with an interval",
}


def source(run: ReportedRun) -> str:
    """What was trained on, and when."""
    table = run.options.get("table")
    parts = [Path(str(table)).name if table else "a table from memory"]
    if run.metrics is not None:
        created = datetime.fromisoformat(run.metrics.created)
        parts.append(f"{created.day} {created:%B %Y, %H:%M} UTC")
    return " · ".join(parts)


def headline(run: ReportedRun) -> str:
    """What was trained, in a line."""
    trunk, balancer = (_name(run.options.get(key)) for key in ("trunk", "balancer"))
    parts = [f"{trunk} trunk", f"balancer {balancer}"]
    if _in_bag(run) > 1:
        parts.append(f"{_in_bag(run)} networks averaged; curves and gates are those of one")
    if run.metrics is not None:
        speed = run.metrics.speed
        parts.append(
            f"{plural(speed.steps, 'step')}, weights kept from step {count(speed.best_step)}"
        )
    return " · ".join(parts)


def verdict(run: ReportedRun, mains: list[Row]) -> str:
    """Was it worth it? In a sentence, from the tasks' main metrics."""
    if run.metrics is None:
        return "This run has not ended, or it was stopped: what follows is what there is so far."
    if not mains:
        return "There are neither test nor validation rows, so nothing was measured."
    compared = [row for row in mains if row.gain is not None]
    if not compared:
        return "No single-task models were trained beside it, so there is no gain to tell."
    if all(row.verdict is Verdict.OPEN for row in compared):
        return "Gains were measured without intervals, so none can be told from chance."
    return (
        f"Against one model a task, the one model for all is {by_verdict(compared)}. "
        f"{_losers(compared)}{_mending(run, compared)}{_drawn(run)} may reverse small differences."
    )


def _drawn(run: ReportedRun) -> str:
    if _in_bag(run) > 1:
        return f"Each model is the mean of {_in_bag(run)} networks; others"
    return "Each model was trained with one seed; another"


def _in_bag(run: ReportedRun) -> int:
    number = run.options.get("bag", 1)
    return number if isinstance(number, int) else 1


def by_verdict(rows: list[Row]) -> str:
    """`better on click; worse on watch`, or how many of all where there are many."""
    named = {v: [_named(row) for row in rows if row.verdict is v] for v in _SAID}
    told = (f"{said} on {on_tasks(named[v], len(rows))}" for v, said in _SAID.items() if named[v])
    return "; ".join(told)


def _losers(rows: list[Row]) -> str:
    """Where neither model is of use, which a gain alone would hide."""
    names = [row.task for row in rows if row.loses_to_the_mean]
    if not names:
        return ""
    return f"On {on_tasks(names, len(rows))} both lose to always predicting the mean (R² below 0). "


def _mending(run: ReportedRun, rows: list[Row]) -> str:
    if not losing(rows):
        return ""
    advice = mending(run.options.get("balancer"))
    return f"What to try: {advice if run.options.get('table') else in_python(advice)}. "


def _named(row: Row) -> str:
    return f"{row.task} (by less than {SLIGHT})" if row.is_slight else row.task


def facts(run: ReportedRun, mains: list[Row]) -> list[tuple[str, str]]:
    """The few figures to know first, each with what it is: results, and how many rows they rest on."""
    metrics = run.metrics
    if metrics is None or not mains:
        return [(count(len(run.tasks)), "tasks")]
    parts = [part for part in ("train", metrics.reported_part) if part in metrics.data.rows]
    rest = [(count(metrics.data.rows[part]), f"{PARTS[part]} rows") for part in parts if part]
    if len(mains) <= _MOST_FACTS:
        return [*((number(row.multi.value), _of_task(row)) for row in mains), *rest]
    found = [(count(len(mains)), "tasks in one model")]
    for decided in (Verdict.BETTER, Verdict.WORSE) if metrics.num_single_models else ():
        number_of = sum(row.verdict is decided for row in mains)
        found.append((count(number_of), f"tasks {decided.value} than by a model of their own"))
    return [*found, *rest]


def _of_task(row: Row) -> str:
    name = f"{short(row.task)}: {row.multi.title}"
    if row.gain is None:
        return name
    decided = "" if row.verdict in (Verdict.BETTER, Verdict.WORSE) else ", which may be chance"
    return f"{name}, {number(row.gain.value, signed=True)} by sharing{decided}"


def meanings(metrics: RunRecord | None, rows: Iterable[Row]) -> list[tuple[str, str]]:
    """What the metrics of these rows mean: (title, meaning)."""
    glossary = metrics.glossary if metrics is not None else {}
    titles = {row.multi.name: row.multi.title for row in rows}
    return [(title, glossary[name]) for name, title in titles.items() if name in glossary]


def warnings(run: ReportedRun) -> list[str]:
    """What a reader must know before believing the figures."""
    found = []
    if run.missing:
        found.append(f"The run folder lacks {listing(run.missing)}; what rests on it is left out.")
    metrics = run.metrics
    if metrics is None:
        return found
    allowed = run.options.get("allow")
    for leak in metrics.data.leaks:
        asked = " It was allowed." if isinstance(allowed, list) and leak.column in allowed else ""
        found.append(f"Possible leak: column {leak.finding}.{asked} Is it known before the event?")
    found += [
        f"{plural(label.conflicts, 'training row')} of {label.task} contradict the parent's label."
        for label in metrics.data.labels
        if label.conflicts
    ]
    # Who handed a table over in memory wrote no command line.
    said = str if run.options.get("table") else in_python
    found += [f"{text[:1].upper()}{said(text[1:])}." for text in metrics.advice]
    if metrics.test_evaluations > 1:
        found.append(
            f"The run has met {metrics.test_evaluations} test tables; choosing by them makes their "
            "figures too good."
        )
    return found


def notes(metrics: RunRecord | None) -> list[str]:
    """Which metrics or intervals are absent, and why, as the evaluation said it."""
    found = []
    for task, result in metrics.tasks.items() if metrics is not None else ():
        evaluation = result.multi.reported
        found += [f"{task}: {note}" for note in (evaluation.notes if evaluation else ())]
    return found


def command(run: ReportedRun) -> str:
    """The command that repeats the run; TABLE stands for a table that came from memory."""
    words = ["polytask", "fit", *([] if run.options.get("table") else ["TABLE"])]
    words += ["--config", f"{run.folder}/run.yaml"]
    if run.metrics is not None:
        words += ["--threads", str(run.metrics.environment.threads)]
    return shlex.join([*words, "--out", f"{run.folder}-again"])


def label_mean(label: LabelRecord) -> str:
    """The share of yes, the most frequent class, or the mean in the label's unit."""
    if label.mean is None:
        return NOTHING
    if label.is_share:
        return f"{percent(label.mean, digits=3)} yes"
    if label.most_frequent is not None:
        most = f"{label.most_frequent} {percent(label.mean)}"
        return f"{plural(label.num_classes, 'class').replace('classs', 'classes')}, most {most}"
    return f"mean {number(label.mean)}{f' {label.unit}' if label.unit else ''}"


def missing_labels(label: LabelRecord) -> str:
    """How many training rows have no label, and their share."""
    share = label.missing / max(label.labelled + label.missing, 1)
    return f"{count(label.missing)} ({percent(share)})" if label.missing else "none"


def label_remark(label: LabelRecord) -> str:
    """What else there is to say of a label, in a few words each."""
    remarks = [
        f"yes is {label.positive}" if label.positive else "",
        f"given {label.given}" if label.given else "",
        f"trained on {label.transform}" if label.transform else "",
        "auxiliary" if label.auxiliary else "",
        f"{count(label.unseen)} of an unknown class" if label.unseen else "",
    ]
    return "; ".join(remark for remark in remarks if remark)


def _name(option: object) -> str:
    return str(option.get("name", "?")) if isinstance(option, Mapping) else str(option or "?")
