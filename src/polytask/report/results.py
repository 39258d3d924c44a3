"""The table of tasks: each metric of the single-task and the multi-task model, and the gain."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from polytask.report.formatting import metric_name
from polytask.report.records import Metrics, Values

# The order of the table; a metric that is unknown here comes last.
_ORDER = (
    *("auc", "macro_auc", "r2", "xauc", "gauc", "gxauc", "accuracy"),
    *("log_loss", "calibration", "mae", "rmse", "poisson_deviance"),
)
_MAIN = ("auc", "macro_auc", "r2", "xauc")
_BETWEEN_0_AND_1 = frozenset({"auc", "macro_auc", "gauc", "xauc", "gxauc", "r2", "accuracy"})
SLIGHT = 0.0005
"""A gain in a metric between 0 and 1 whose whole interval is nearer to 0 is called slight."""
_MOST_DECIMALS = 8
_FALLING = frozenset({"log_loss", "mae", "rmse", "poisson_deviance"})


class Verdict(Enum):
    """What the interval of a gain says."""

    BETTER = "better"
    WORSE = "worse"
    NONE = "no detectable difference"
    OPEN = "not known: no interval"


@dataclass(frozen=True, slots=True)
class Value:
    """A metric or a gain, with its 95 % interval if there is one."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def decimals(self) -> int | None:
        """As many as the interval's width deserves, where that is more than the usual ones."""
        if self.low is None or self.high is None or not 0 < self.high - self.low < 1e-3:
            return None
        return min(1 - math.floor(math.log10(self.high - self.low)), _MOST_DECIMALS)


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one task. `is_main` marks the metric that stands for the task."""

    task: str
    metric: str
    is_main: bool
    multi: Value
    single: Value | None
    gain: Value | None

    @property
    def name(self) -> str:
        return metric_name(self.metric)

    @property
    def better(self) -> str:
        """Which way is better, in a word or two."""
        plain = self.metric.removeprefix("conditional_")
        if plain == "calibration":
            return "best at 1"
        return "lower is better" if plain in _FALLING else "higher is better"

    @property
    def is_slight(self) -> bool:
        """Told from chance, but too small to matter to most."""
        if self.metric not in _BETWEEN_0_AND_1 or self.gain is None:
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


def reported_part(metrics: Metrics) -> str | None:
    """The part that results are told of: the test, or validation where there is no test."""
    parts = {part for by_part in metrics.tasks.values() for part in by_part}
    return next((part for part in ("test", "valid") if part in parts), None)


def result_rows(metrics: Metrics | None) -> tuple[Row, ...]:
    """All rows of the table, task by task."""
    part = reported_part(metrics) if metrics is not None else None
    if metrics is None or part is None:
        return ()
    singles = {} if isinstance(metrics.baseline, str) else metrics.baseline.get("single", {})
    rows: list[Row] = []
    for task, by_part in metrics.tasks.items():
        ours = by_part.get(part, {})
        theirs = singles.get(task, {}).get(part, {})
        rows += _task_rows(task, ours, theirs, metrics.gain_over_single.get(task, {}))
    return tuple(rows)


def notes(metrics: Metrics | None) -> tuple[str, ...]:
    """Which metrics or intervals are absent, and why, as the evaluation said it."""
    if metrics is None:
        return ()
    part, found = reported_part(metrics), []
    for task, by_part in metrics.tasks.items():
        said = by_part.get(part or "", {}).get("notes", [])
        found += [f"{task}: {note}" for note in said] if isinstance(said, list) else []
    return tuple(found)


def main_metric(names: Mapping[str, object]) -> str | None:
    """The metric that stands for a task, of those that were measured."""
    return next((name for name in _MAIN if name in names), None)


def _task_rows(task: str, ours: Values, theirs: Values, gains: Values) -> Iterator[Row]:
    names = [name for name in ours if f"{name}_interval" in ours]
    main = main_metric(ours) or next(iter(names), None)
    for metric in sorted(names, key=lambda name: (name != main, _place(name))):
        multi = _value(ours, metric)
        if multi is not None:
            yield Row(
                task,
                metric,
                metric == main,
                multi,
                _value(theirs, metric),
                _value(gains, metric),
            )


def _place(metric: str) -> tuple[int, bool]:
    plain = metric.removeprefix("conditional_")
    place = _ORDER.index(plain) if plain in _ORDER else len(_ORDER)
    return place, plain != metric


def _value(values: Values, metric: str) -> Value | None:
    value, interval = values.get(metric), values.get(f"{metric}_interval")
    if not isinstance(value, int | float):
        return None
    if isinstance(interval, list) and len(interval) == 2:
        return Value(float(value), float(interval[0]), float(interval[1]))
    return Value(float(value))
