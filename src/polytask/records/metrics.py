"""What an evaluation says of one task: metrics with their intervals, and the rows they rest on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from polytask.records.html import html_table

Direction = Literal["higher", "lower", "to 1"]
"""Where better is: up to a best of 1, down to a best of 0, or at 1 from both sides."""

Json = int | float | list[float] | list[str] | None


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One metric of one task; `low` and `high` are its 95 % interval, None where it has none.

    `bound`: the value differs from the exact one by no more than that; the interval is wider by it.

    >>> print(MetricValue("auc", 0.71, 0.69, 0.73, "higher", "AUC"))
    0.7100 [0.6900, 0.7300]
    """

    name: str
    value: float
    low: float | None
    high: float | None
    direction: Direction
    title: str
    bound: float = 0.0

    def __str__(self) -> str:
        return _with_interval(self.value, self.low, self.high)


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better one model is than another on the same rows; positive: it is better.

    For a metric that is best at 1: |theirs - 1| - |ours - 1|. Printed with a ~ where the interval
    covers zero.

    >>> print(Gain("auc", 0.01, -0.002, 0.022))
    +0.0100 [-0.0020, +0.0220] ~
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None

    @property
    def covers_zero(self) -> bool:
        """Whether the interval leaves it open which model is better; False without an interval."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high

    def __str__(self) -> str:
        text = _with_interval(self.value, self.low, self.high, sign="+")
        return f"{text} ~" if self.covers_zero else text


def _with_interval(value: float, low: float | None, high: float | None, *, sign: str = "") -> str:
    text = f"{value:{sign}.4f}"
    return text if low is None or high is None else f"{text} [{low:{sign}.4f}, {high:{sign}.4f}]"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A task's metrics on some rows, the main one first.

    `num_rows` counts the rows that have a label and a weight above 0, `num_unlabelled` those without
    a label. `num_positive` is for binary tasks; `mean_label` (weighted) is a binary task's base rate
    and absent for classes. `num_groups` and `num_group_rows` are what the metrics within groups rest
    on: groups whose labels are all equal say nothing and are dropped. `notes` says in words which
    metric or interval is absent, and why. `conditional`, for a task given another: p(task | parent)
    on the rows where the parent is yes.
    """

    kind: str
    num_rows: int
    num_unlabelled: int
    num_positive: int | None
    mean_label: float | None
    num_groups: int | None
    num_group_rows: int | None
    metrics: tuple[MetricValue, ...]
    notes: tuple[str, ...]
    conditional: "Evaluation | None" = None

    def __repr__(self) -> str:
        shown = ", ".join(f"{metric.name} {metric}" for metric in self.all_metrics())
        return f"Evaluation({self.kind}, {self.num_rows:,} rows: {shown or 'no metrics'})"

    def _repr_html_(self) -> str:
        rows = [(metric.name, str(metric)) for metric in self.all_metrics()]
        caption = "; ".join([f"{self.kind}, {self.num_rows:,} rows", *self.notes])
        return html_table(("metric", "value"), rows, caption=caption)

    def __getitem__(self, name: str) -> MetricValue:
        """The metric of that name; KeyError where it is absent (see `notes`)."""
        for metric in self.all_metrics():
            if metric.name == name:
                return metric
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(metric.name == name for metric in self.all_metrics())

    def all_metrics(self) -> Iterator[MetricValue]:
        """The metrics in order, then those given the parent as `conditional_auc` and so on."""
        yield from self.metrics
        for metric in self.conditional.metrics if self.conditional is not None else ():
            title = f"conditional {metric.title}"
            yield replace(metric, name=f"conditional_{metric.name}", title=title)

    def to_dict(self) -> dict[str, Json]:
        """Flat: `auc`, `auc_interval` [low, high] or None, `auc_bound` unless it is 0, ..., then counts of rows and `notes`."""
        record: dict[str, Json] = {}
        for metric in self.all_metrics():
            record[metric.name] = metric.value
            ends = [end for end in (metric.low, metric.high) if end is not None]
            record[f"{metric.name}_interval"] = ends or None
            if metric.bound:
                record[f"{metric.name}_bound"] = metric.bound
        counts = {
            "rows": self.num_rows,
            "unlabelled": self.num_unlabelled,
            "positives": self.num_positive,
            "mean_label": self.mean_label,
            "groups": self.num_groups,
            "group_rows": self.num_group_rows,
        }
        record |= {name: value for name, value in counts.items() if value is not None}
        return record | ({"notes": list(self.notes)} if self.notes else {})
