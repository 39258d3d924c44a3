"""The rows of the tables of a study of transfer: gains with their verdicts, groupings, tasks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from polytask.records import Gain, MetricValue
from polytask.records.transfer import Effect, GroupingRecord, TransferRecord
from polytask.report.formatting import NOTHING, count, number


@dataclass(frozen=True, slots=True)
class EffectRow:
    """A line of a table of gains: `says` is one of better, worse, none, open."""

    cause: str
    task: str
    metric: str
    gain: Gain
    says: str
    words: str


@dataclass(frozen=True, slots=True)
class GroupingRow:
    """A grouping as the table shows it."""

    title: str
    groups: str
    num_models: int
    expected: float | None
    mean: Gain | None
    says: str
    gains: tuple[EffectRow, ...]


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task's labels and its own model's metric."""

    name: str
    kind: str
    labels: str
    metric: str
    alone: str
    remark: str


def effect_rows(record: TransferRecord, effects: Sequence[Effect]) -> list[EffectRow]:
    """A line an effect, the strongest first."""
    metrics = {task.name: task.metric for task in record.tasks}
    rows = [
        EffectRow(
            each.cause,
            each.task,
            metrics[each.task],
            each.gain,
            "open" if has_too_few(record, each.task) else says_of(each.gain),
            "too few labels" if has_too_few(record, each.task) else _WORDS[says_of(each.gain)],
        )
        for each in effects
    ]
    order = {"better": 0, "worse": 0, "none": 1, "open": 2}
    return sorted(rows, key=lambda row: (order[row.says], -abs(row.gain.value)))


def grouping_rows(record: TransferRecord) -> list[GroupingRow]:
    """A line a way of grouping; one that is another one again says so in its title."""
    rows: list[GroupingRow] = []
    seen: dict[tuple[tuple[str, ...], ...], int] = {}
    for each in record.groupings:
        if each.groups in seen:
            rows[seen[each.groups]] = _renamed(rows[seen[each.groups]], each.title)
            continue
        seen[each.groups] = len(rows)
        rows.append(_grouping_row(record, each))
    return rows


def remedy_rows(record: TransferRecord) -> list[tuple[str, str, EffectRow, EffectRow]]:
    """What was tried for each harmed task: over the model of all, and over its own model."""
    rows = []
    for each in record.remedies:
        both = [
            Effect(each.title, each.task, gain) for gain in (each.over_together, each.over_alone)
        ]
        over_together, over_alone = (effect_rows(record, [effect])[0] for effect in both)
        rows.append((each.title, each.task, over_together, over_alone))
    return rows


def task_rows(record: TransferRecord) -> list[TaskRow]:
    """A line a task: its labels, and its own model's metric with its interval."""
    rows = []
    for task in record.tasks:
        positives = "" if task.valid_positives is None else f", {count(task.valid_positives)} yes"
        labels = f"{count(task.train_labels)} to train on, {count(task.valid_labels)} to judge by{positives}"
        alone = NOTHING if task.alone is None else _metric(task.alone)
        remark = f"too few: {task.too_few}" if task.too_few else ""
        rows.append(TaskRow(task.name, task.kind, labels, task.metric, alone, remark))
    return rows


def says_of(gain: Gain) -> str:
    if gain.low is None or gain.high is None:
        return "open"
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "none"


def has_too_few(record: TransferRecord, name: str) -> bool:
    return any(task.name == name and task.too_few is not None for task in record.tasks)


_WORDS = {
    "better": "better",
    "worse": "worse",
    "none": "no detectable difference",
    "open": "not known",
}


def _grouping_row(record: TransferRecord, each: GroupingRecord) -> GroupingRow:
    groups = " | ".join(" + ".join(group) for group in each.groups)
    says = "open" if each.mean is None else says_of(each.mean)
    gains = tuple(effect_rows(record, each.gains))
    return GroupingRow(each.title, groups, len(each.groups), each.expected, each.mean, says, gains)


def _renamed(row: GroupingRow, title: str) -> GroupingRow:
    return replace(row, title=f"{row.title} = {title}")


def _metric(metric: MetricValue) -> str:
    if metric.low is None or metric.high is None:
        return number(metric.value)
    return f"{number(metric.value)} ({number(metric.low)} to {number(metric.high)})"
