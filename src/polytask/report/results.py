"""The table of tasks: each metric of the single-task and the multi-task model, and the gain."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from polytask.records import Gain, MetricValue, RunRecord, TaskResult
from polytask.report.formatting import MANY

SLIGHT = 0.0005
"""A gain whose whole interval is nearer to 0 is called slight, in a metric whose best is 1."""
_BETTER = {"higher": "higher is better", "lower": "lower is better", "to 1": "best at 1"}


class Verdict(Enum):
    """What the interval of a gain says."""

    BETTER = "better"
    WORSE = "worse"
    NONE = "no detectable difference"
    OPEN = "not known: no interval"


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one task. `is_main` marks the metric that stands for the task."""

    task: str
    is_main: bool
    multi: MetricValue
    single: MetricValue | None
    gain: Gain | None

    @property
    def better(self) -> str:
        """Which way is better, in a word or two."""
        return _BETTER[self.multi.direction]

    @property
    def is_slight(self) -> bool:
        """Told from chance, but too small to matter to most."""
        if self.multi.direction != "higher" or self.gain is None:
            return False
        low, high = self.gain.low, self.gain.high
        return low is not None and high is not None and max(abs(low), abs(high)) < SLIGHT

    @property
    def verdict(self) -> Verdict | None:
        if self.gain is None:
            return None
        if self.gain.low is None or self.gain.high is None:
            return Verdict.OPEN
        if self.gain.low > 0:
            return Verdict.BETTER
        return Verdict.WORSE if self.gain.high < 0 else Verdict.NONE

    @property
    def loses_to_the_mean(self) -> bool:
        """Whether always predicting the mean is better than every model here."""
        values = [each.value for each in (self.multi, self.single) if each is not None]
        return self.multi.name == "r2" and max(values) < 0


def result_rows(metrics: RunRecord | None) -> tuple[Row, ...]:
    """All rows of the table, task by task; many tasks are sorted by the gain in their main metric."""
    if metrics is None:
        return ()
    by_task = [tuple(_task_rows(task, result)) for task, result in metrics.tasks.items()]
    by_task = [rows for rows in by_task if rows]
    if len(by_task) > MANY:
        by_task.sort(key=lambda rows: -rows[0].gain.value if rows[0].gain is not None else 0.0)
    return tuple(row for rows in by_task for row in rows)


def notes(metrics: RunRecord | None) -> tuple[str, ...]:
    """Which metrics or intervals are absent, and why, as the evaluation said it."""
    found = []
    for task, result in metrics.tasks.items() if metrics is not None else ():
        evaluation = result.multi.reported
        found += [f"{task}: {note}" for note in (evaluation.notes if evaluation else ())]
    return tuple(found)


def _task_rows(task: str, result: TaskResult) -> Iterator[Row]:
    ours = result.multi.reported
    theirs = result.single.reported if result.single is not None else None
    for place, metric in enumerate(ours.all_metrics() if ours is not None else ()):
        single = theirs[metric.name] if theirs is not None and metric.name in theirs else None
        yield Row(task, place == 0, metric, single, result.gain(metric.name))
