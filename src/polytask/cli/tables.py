"""What the command line prints as tables: columns, results, cost."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table

from polytask.cli.console import PlainConsole
from polytask.data.schema import ColumnReport, Schema
from polytask.fitting import Run
from polytask.fitting.telling import reading_lines
from polytask.records import (
    AuxiliaryRecord,
    Evaluation,
    MetricValue,
    RunRecord,
    TaskResult,
    TaskScores,
)
from polytask.records.comparison import losing, mending

_WIDE = 120
_ONLY_WIDE = ("distinct", "missing", "examples")


def console_for_tables() -> Console:
    """The terminal, or long lines into a pipe or a file, which have no width of their own."""
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=200)


def show_lines(console: Console, lines: Iterable[str]) -> None:
    """Lines as they are; warnings and notes in yellow."""
    for line in lines:
        style = "yellow" if line.startswith(("warning:", "note:")) else ""
        console.print(line, markup=False, style=style)


def show_columns(
    console: Console, schema: Schema, reports: Sequence[ColumnReport], *, num_rows: int
) -> None:
    """One line a column: what it would be taken for, and why; more of it on a wide screen.

    Then what is not used, what was changed while columns were read, and what was guessed.
    """
    wide = console.width >= _WIDE
    table = _table()
    for name in ("column", "type", "taken for", *(_ONLY_WIDE if wide else ()), "because"):
        right: Literal["right", "left"] = "right" if name == "distinct" else "left"
        fold = name in ("because", "examples")
        table.add_column(name, overflow="fold", justify=right, no_wrap=not fold)
    for report in reports:
        distinct = "" if report.num_distinct is None else f"{report.num_distinct:,}"
        missing = f"{report.missing_share:.1%}" if report.missing_share else ""
        details = (distinct, missing, ", ".join(report.examples)) if wide else ()
        column = report.column
        table.add_row(column.name, column.dtype, column.kind, *details, column.reason)
    console.print(f"{num_rows:,} rows, {len(reports)} columns")
    console.print(table)
    notes = (*schema.notes, *schema.inferred_summary())
    show_lines(console, reading_lines(schema.unused_summary(), notes))


def show_results(console: Console, run: Run, *, verbose: bool) -> None:
    """A line a task, or all metrics with their intervals; single-task models beside the multi-task
    one, and the gain."""
    metrics = run.metrics
    has_singles = metrics.num_single_models > 0
    console.print(f"\n{metrics.reported_part or 'no'} metrics", style="italic")
    table = _table()
    for name in ("task", "metric", "multi-task", "single-task", "gain")[: 5 if has_singles else 3]:
        table.add_column(name, no_wrap=not verbose or name in ("task", "metric"))
    for name, result in metrics.tasks.items():
        for row in result.rows(name):
            if row.is_main or verbose:
                named = _named(name, result.multi.reported) if verbose else name
                metrics_shown = (_shown(each, verbose=verbose) for each in (row.multi, row.single))
                cells = (row.multi.name, *metrics_shown, str(row.gain or "-"))
                table.add_row(named if row.is_main else "", *cells[: 4 if has_singles else 2])
    console.print(table)
    _show_remarks(console, metrics, run.config.balancer, verbose=verbose)


def show_auxiliary(console: Console, record: AuxiliaryRecord) -> None:
    """A line a goal: its main metric with and without what is auxiliary, and the gain."""
    if not record.effects:
        return
    table = _table()
    for name in ("goal", "metric", "with auxiliary", "without", "gain by it"):
        table.add_column(name, no_wrap=True)
    for effect in record.effects:
        ours, theirs = f"{effect.with_them:.4f}", f"{effect.without:.4f}"
        table.add_row(effect.task, effect.gain.name, ours, theirs, str(effect.gain))
    console.print(f"\n{record.part} rows, means over {record.num_seeds} seeds", style="italic")
    console.print(table)


def _show_remarks(console: Console, metrics: RunRecord, balancer: object, *, verbose: bool) -> None:
    """How to read the table of results."""
    rows = metrics.main_rows()
    without_use = [row.task for row in rows if row.loses_to_the_mean]
    if without_use:
        names = ", ".join(without_use)
        console.print(
            f"r2 below 0: always predicting the mean is better on {names}", style="yellow"
        )
    if worse := losing(rows):
        console.print(
            f"worse than by a model of its own: {', '.join(worse)}; {mending(balancer)}",
            style="yellow",
        )
    for row in rows:
        if row.multi.bound:
            console.print(
                f"{row.multi.title} of {row.task}: within {row.multi.bound:.1e} of the exact one"
            )
    if metrics.num_single_models:
        console.print("gain: positive is better than single-task; ~ its interval covers zero")
    else:
        console.print("no single-task baseline was trained (--baseline none)")
    if not verbose:
        console.print("all metrics with their intervals: --verbose, or the report")


def show_evaluation(console: Console, evaluations: Mapping[str, Evaluation]) -> None:
    """Metrics per task of one evaluation, and what could not be measured."""
    table = _table()
    for name in ("task", "metric", "value"):
        table.add_column(name, no_wrap=True)
    for name, evaluation in evaluations.items():
        for row in TaskResult(TaskScores(test=evaluation)).rows(name):
            table.add_row(
                _named(name, evaluation) if row.is_main else "", row.multi.name, str(row.multi)
            )
    console.print(table)
    for name, evaluation in evaluations.items():
        show_lines(console, (f"note: {name}: {note}" for note in evaluation.notes))


def show_cost(console: Console, metrics: RunRecord) -> None:
    """Parameters, training seconds and microseconds a row: one model against K."""
    table = _table()
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


def _shown(metric: MetricValue | None, *, verbose: bool) -> str:
    if metric is None:
        return "-"
    return str(metric) if verbose else f"{metric.value:.4f}"


def _table() -> Table:
    return Table(box=None, pad_edge=False, header_style="bold")


def _named(task: str, evaluation: Evaluation | None) -> str:
    """The task, and on how many groups its metrics within groups rest."""
    groups = evaluation.num_groups if evaluation is not None else None
    return f"{task} ({groups} groups)" if groups else task
