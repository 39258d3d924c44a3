"""What the command line prints: columns, tasks, results, cost."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table

from polytask.cli.console import PlainConsole
from polytask.data.describe import ColumnReport
from polytask.data.schema import Schema
from polytask.fitting import Prepared, Run
from polytask.fitting.budget import budget_in_words
from polytask.records import (
    Evaluation,
    Gain,
    MetricValue,
    RunRecord,
    TaskResult,
    TaskScores,
)

_WIDE = 120
_MOST_NOTES = 12
_ONLY_WIDE = ("distinct", "missing", "examples")


def console_for_tables() -> Console:
    """The terminal, or long lines into a pipe or a file, which have no width of their own."""
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=200)


def show_prepared(console: Console, prepared: Prepared) -> None:
    """Rows, columns, each task with its kind and label rate, and columns that look like leaks."""
    parts = {"train": prepared.train, "valid": prepared.valid, "test": prepared.test}
    rows = ", ".join(f"{len(part):,} {name}" for name, part in parts.items() if part is not None)
    counts = (f"{len(names)} {name}" for name, names in prepared.schema.inputs.items())
    console.print(f"{rows} rows; inputs: {', '.join(counts)} columns; split {prepared.split}")
    _show_reading(console, prepared.schema.unused_summary(), prepared.notes)
    console.print(f"training: {budget_in_words(prepared.config, len(prepared.train))}")
    for position, task in enumerate(prepared.tasks):
        console.print(f"  {_task_line(prepared, position)}")
        count = prepared.label_counts[position]
        if count.conflicts:
            console.print(
                f"    {count.conflicts:,} training rows say {task.name} without {task.given}: "
                f"--given-conflict {prepared.config.given_conflict}",
            )
    for leak in prepared.leaks:
        allowed = " (allowed)" if leak.column in prepared.config.allow else ""
        console.print(
            f"warning: column {leak.finding}{allowed}: "
            f"is it known before the event? If not, pass --after {leak.column}",
            style="yellow",
        )


def show_columns(
    console: Console, schema: Schema, reports: Sequence[ColumnReport], *, num_rows: int
) -> None:
    """One line a column: what it would be taken for, and why; more of it on a wide screen.

    Then what is not used, what was changed while columns were read, and what was guessed.
    """
    wide = console.width >= _WIDE
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("column", "type", "taken for", *(_ONLY_WIDE if wide else ()), "because"):
        right: Literal["right", "left"] = "right" if name == "distinct" else "left"
        fold = name in ("because", "examples")
        table.add_column(name, overflow="fold", justify=right, no_wrap=not fold)
    for report in reports:
        distinct = "" if report.num_distinct is None else f"{report.num_distinct:,}"
        missing = f"{report.missing_share:.1%}" if report.missing_share else ""
        details = (distinct, missing, ", ".join(report.examples)) if wide else ()
        table.add_row(report.name, report.dtype, report.kind, *details, report.reason)
    console.print(f"{num_rows:,} rows, {len(reports)} columns")
    console.print(table)
    notes = (*schema.notes, *schema.inferred_summary())
    _show_reading(console, schema.unused_summary(), notes)


def show_results(console: Console, run: Run) -> None:
    """Each task's metrics: single-task models beside the multi-task one, and the gain."""
    has_singles = run.metrics.num_single_models > 0
    title = f"{run.metrics.reported_part or 'no'} metrics"
    title += " with 95 % intervals" if run.config.intervals else ""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in ("task", "metric", *(("single-task",) if has_singles else ()), "multi-task"):
        table.add_column(name, no_wrap=name in ("task", "metric"))
    if has_singles:
        table.add_column("gain")
    for name, result in run.metrics.tasks.items():
        for row in _result_rows(name, result, has_singles=has_singles):
            table.add_row(*row)
    console.print()
    console.print(table)
    if has_singles:
        console.print("gain: positive is better than single-task; ~ its interval covers zero")
    else:
        console.print("no single-task baseline was trained (--baseline none)")


def show_evaluation(console: Console, evaluations: Mapping[str, Evaluation]) -> None:
    """Metrics per task of one evaluation."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("task", "metric", "value"):
        table.add_column(name, no_wrap=True)
    for name, evaluation in evaluations.items():
        result = TaskResult(TaskScores(test=evaluation))
        for row in _result_rows(name, result, has_singles=False):
            table.add_row(*row)
    console.print(table)


def show_cost(console: Console, metrics: RunRecord) -> None:
    """Parameters, training seconds and microseconds a row: one model against K."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("cost", "parameters", "training s", "rows/s", "prediction us/row"):
        table.add_column(name, justify="left" if name == "cost" else "right")
    several = f"{metrics.num_single_models} models"
    for name, cost in (("one model", metrics.cost.multi_task), (several, metrics.cost.single_task)):
        if cost is not None:
            table.add_row(
                name,
                f"{cost.parameters:,}",
                f"{cost.train_seconds:.1f}",
                f"{cost.train_rows_per_second:,.0f}",
                f"{cost.microseconds_per_row:.2f}",
            )
    console.print()
    console.print(table)


def _show_reading(console: Console, unused: str | None, notes: Sequence[str]) -> None:
    """A line for the columns that are not used, and one for each note."""
    more = len(notes) - _MOST_NOTES
    rest = (f"and {more:,} more notes on how columns were read",) if more > 0 else ()
    for line in (*((unused,) if unused else ()), *notes[:_MOST_NOTES], *rest):
        console.print(f"  {line}")


def _task_line(prepared: Prepared, position: int) -> str:
    task, count = prepared.tasks[position], prepared.label_counts[position]
    labels_B = prepared.train.labels[task.name]
    labels_B = labels_B[task.kind.is_labelled(labels_B)].double()
    positive = task.kind.options().get("positive")
    yes = f", yes = {positive}" if positive else ""
    given = f", given {task.given}" if task.given else ""
    line = f"{task.name}: {task.kind.name} of column {task.column}{yes}{given}"
    summary = task.kind.summary(labels_B.numpy())
    rate = f"{summary.mean:.2%} yes of " if summary.is_share and summary.mean is not None else ""
    missing = len(prepared.train) - count.labelled
    unlabelled = f", {missing:,} not labelled" if missing else ""
    return f"{line}; {rate}{count.labelled:,} rows{unlabelled} ({prepared.kind_reasons[position]})"


def _result_rows(task: str, result: TaskResult, *, has_singles: bool) -> Iterator[tuple[str, ...]]:
    """A line a metric, in the order of the evaluation."""
    ours = result.multi.reported
    theirs = result.single.reported if result.single is not None else None
    groups = f" ({ours.num_groups} groups)" if ours is not None and ours.num_groups else ""
    for place, metric in enumerate(ours.all_metrics() if ours is not None else ()):
        single = theirs[metric.name] if theirs is not None and metric.name in theirs else None
        shown = (single, metric, result.gain(metric.name)) if has_singles else (metric,)
        yield f"{task}{groups}" if place == 0 else "", metric.name, *(_cell(each) for each in shown)


def _cell(shown: MetricValue | Gain | None) -> str:
    if shown is None:
        return "-"
    sign = "+" if isinstance(shown, Gain) else ""
    text = f"{shown.value:{sign}.4f}"
    if shown.low is not None and shown.high is not None:
        text += f" [{shown.low:{sign}.4f}, {shown.high:{sign}.4f}]"
    return f"{text} ~" if isinstance(shown, Gain) and shown.covers_zero else text
