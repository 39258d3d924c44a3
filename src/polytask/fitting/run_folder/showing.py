"""A run in a few words, and its results as a table: what a notebook shows of it."""

from collections.abc import Iterable, Iterator
from html import escape

from polytask.records import Gain, MetricValue, RunRecord
from polytask.task import Task

_MOST_NAMED = 6


def run_in_words(tasks: Iterable[Task], record: RunRecord | None) -> str:
    """The tasks, what was read, and the first metric of each task; a few lines however many there are."""
    named = _some([f"{task.name} ({task.kind.name})" for task in tasks])
    if record is None:
        return f"<Run of {named}: not ended>"
    lines = [f"<Run of {named}"]
    counts = (f"{len(columns)} {name}" for name, columns in record.data.inputs.items())
    lines.append(f"inputs: {', '.join(counts)}")
    if record.data.unused_columns:
        lines.append(f"not used: {_some(list(record.data.unused_columns))}")
    first: dict[str, str] = {}
    for task, (metric, value, _) in _rows(record):
        first.setdefault(task, f"{task} {metric} {value}")
    lines.append(f"{record.reported_part or 'no'} metrics: {_some(list(first.values()))}")
    return "\n  ".join(lines) + ">"


def results_as_html(record: RunRecord) -> str:
    """One row a task and metric, with the gain over the single-task model where one was trained."""
    heads = ("task", "metric", "multi-task", *(("gain",) if record.num_single_models else ()))
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in (task, *cells)[: len(heads)])}</tr>"
        for task, cells in _rows(record)
    )
    caption = f"{record.reported_part or 'no'} metrics"
    return f"<table><caption>{caption}</caption><tr>{head}</tr>{body}</table>"


def _rows(record: RunRecord) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Each task with a metric's name, its value, and its gain."""
    for task, result in record.tasks.items():
        reported = result.multi.reported
        for metric in reported.all_metrics() if reported is not None else ():
            yield task, (metric.name, _cell(metric), _cell(result.gain(metric.name)))


def _cell(shown: MetricValue | Gain | None) -> str:
    if shown is None:
        return ""
    sign = "+" if isinstance(shown, Gain) else ""
    ends = "" if shown.low is None else f" [{shown.low:{sign}.4f}, {shown.high:{sign}.4f}]"
    return f"{shown.value:{sign}.4f}{ends}"


def _some(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
