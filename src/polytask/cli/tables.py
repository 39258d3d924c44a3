"""What the command line prints: columns, tasks, results, cost."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table

from polytask.data.inspect import ColumnReport
from polytask.fitting import Prepared, Run
from polytask.fitting.comparing.score import Metrics

# What stands in the table of results, in this order; metrics.json holds the rest.
SHOWN = (
    "auc",
    "conditional_auc",
    "gauc",
    "log_loss",
    "calibration",
    "accuracy",
    "macro_auc",
    "mae",
    "rmse",
    "r2",
    "xauc",
    "gxauc",
    "poisson_deviance",
)


_WIDE = 120
_ONLY_WIDE = ("distinct", "missing", "examples")


def console_for_tables() -> Console:
    """The terminal, or long lines into a pipe or a file, which have no width of their own."""
    console = Console(highlight=False, soft_wrap=True)
    if console.is_terminal:
        return console
    return Console(width=200, highlight=False, soft_wrap=True)


def show_prepared(console: Console, prepared: Prepared) -> None:
    """Rows, columns, each task with its kind and label rate, and columns that look like leaks."""
    parts = {"train": prepared.train, "valid": prepared.valid, "test": prepared.test}
    rows = ", ".join(f"{len(part):,} {name}" for name, part in parts.items() if part is not None)
    columns = prepared.columns
    console.print(
        f"{rows} rows; inputs: {len(columns.numeric)} numeric, "
        f"{len(columns.categorical)} categorical columns"
    )
    for position, task in enumerate(prepared.tasks):
        console.print(f"  {_task_line(prepared, position)}", markup=False)
        count = prepared.label_counts[position]
        if count.conflicts:
            console.print(
                f"    {count.conflicts:,} training rows say {task.name} without {task.given}: "
                f"--given-conflict {prepared.config.given_conflict}",
                markup=False,
            )
    for leak in prepared.leaks:
        allowed = " (allowed)" if leak.column in prepared.config.allow else ""
        console.print(
            f"warning: column {leak.finding}{allowed}: "
            f"is it known before the event? If not, pass --after {leak.column}",
            markup=False,
            style="yellow",
        )


def show_columns(console: Console, reports: Sequence[ColumnReport], *, num_rows: int) -> None:
    """One line a column: what it would be taken for, and why; more of it on a wide screen."""
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


def show_results(console: Console, run: Run) -> None:
    """Each task's metrics: single-task models beside the multi-task one, and the gain."""
    single = _mapping(run.metrics["baseline"]).get("single")
    part = "test" if "test" in _mapping(next(iter(_tasks(run.metrics).values()), {})) else "valid"
    title = f"{part} metrics with 95 % intervals" if run.config.intervals else f"{part} metrics"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in ("task", "metric", *(("single-task",) if single else ()), "multi-task"):
        table.add_column(name, no_wrap=name in ("task", "metric"))
    if single:
        table.add_column("gain")
    for name, parts in _tasks(run.metrics).items():
        ours = _mapping(_mapping(parts).get(part))
        theirs = _mapping(_mapping(_mapping(single).get(name)).get(part))
        gains = _mapping(_mapping(run.metrics["gain_over_single"]).get(name))
        for row in _rows(name, ours, theirs, gains, with_single=bool(single)):
            table.add_row(*row)
    console.print()
    console.print(table)
    if single:
        console.print("gain: positive is better than single-task; ~ its interval covers zero")
    else:
        console.print("no single-task baseline was trained (--baseline none)")


def show_evaluation(console: Console, scores: Mapping[str, Mapping[str, object]]) -> None:
    """Metrics per task of one evaluation."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("task", "metric", "value"):
        table.add_column(name, no_wrap=True)
    for name, values in scores.items():
        for row in _rows(name, values, {}, {}, with_single=False):
            table.add_row(*row)
    console.print(table)


def show_cost(console: Console, metrics: Metrics) -> None:
    """Parameters, training seconds and microseconds a row: one model against K."""
    cost = _mapping(metrics["cost"])
    table = Table(box=None, pad_edge=False, header_style="bold")
    heads = ("cost", "parameters", "training s", "rows/s", "prediction us/row")
    for name in heads:
        table.add_column(name, justify="left" if name == "cost" else "right")
    singles = _mapping(metrics["baseline"]) and _mapping(_mapping(metrics["baseline"])["single"])
    names = {"multi_task": "one model", "single_task": f"{len(singles)} models"}
    for key, name in names.items():
        if key in cost:
            values = _mapping(cost[key])
            table.add_row(
                name,
                f"{values['parameters']:,}",
                f"{values['train_seconds']:.1f}",
                f"{values['train_rows_per_second']:,.0f}",
                f"{values['microseconds_per_row']:.2f}",
            )
    console.print()
    console.print(table)


def _task_line(prepared: Prepared, position: int) -> str:
    task, count = prepared.tasks[position], prepared.label_counts[position]
    target = prepared.targets.targets[position].target
    labels_B = prepared.train.labels[task.name]
    yes = f", yes = {target.positive}" if target.positive else ""
    given = f", given {task.given}" if task.given else ""
    line = f"{task.name}: {task.kind.name} of column {task.target}{yes}{given}"
    rate = ""
    if task.kind.name == "binary":
        rate = f"{labels_B.nanmean().item():.2%} yes of "
    missing = len(prepared.train) - count.labelled
    unlabelled = f", {missing:,} not labelled" if missing else ""
    return f"{line}; {rate}{count.labelled:,} rows{unlabelled} ({prepared.kind_reasons[position]})"


def _rows(
    task: str,
    ours: Mapping[str, object],
    theirs: Mapping[str, object],
    gains: Mapping[str, object],
    *,
    with_single: bool,
) -> Iterator[tuple[str, ...]]:
    first = True
    for metric in SHOWN:
        if metric not in ours:
            continue
        name = f"{metric} ({ours[f'{metric}_groups']} groups)" if _grouped(metric, ours) else metric
        cells = [task if first else "", name]
        if with_single:
            cells.append(_cell(theirs, metric))
        cells.append(_cell(ours, metric))
        if with_single:
            cells.append(_cell(gains, metric, signed=True))
        yield tuple(cells)
        first = False


def _grouped(metric: str, values: Mapping[str, object]) -> bool:
    return f"{metric}_groups" in values


def _cell(values: Mapping[str, object], metric: str, *, signed: bool = False) -> str:
    value = values.get(metric)
    if not isinstance(value, int | float):
        return "-"
    sign = "+" if signed else ""
    text = f"{value:{sign}.4f}"
    interval = values.get(f"{metric}_interval")
    if isinstance(interval, list):
        low, high = interval
        text += f" [{low:{sign}.4f}, {high:{sign}.4f}]"
        if signed and low <= 0 <= high:
            text += " ~"
    return text


def _tasks(metrics: Metrics) -> Mapping[str, object]:
    return _mapping(metrics["tasks"])


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
