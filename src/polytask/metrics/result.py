"""What an evaluation says: frozen values, ready for JSON."""

from dataclasses import dataclass

Json = int | float | list[float] | list[str] | None


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of one task; `higher_is_better` is None for calibration, which is best at 1."""

    name: str
    value: float
    interval: Interval | None
    higher_is_better: bool | None


@dataclass(frozen=True, slots=True)
class Gain:
    """What model a is better by than model b, on the same rows; positive: a is better.

    For calibration it is |calibration of b - 1| - |calibration of a - 1|.
    """

    name: str
    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class TaskMetrics:
    """A task's evaluation.

    `num_rows` counts the rows that have a label and a weight above 0, `num_unlabelled` those without
    a label. `num_positive` is for binary tasks; `mean_label` (weighted) is a binary task's base rate
    and absent for classes. `num_groups` and `num_group_rows` are what the metrics within groups rest
    on: groups with one class only (all labels equal) say nothing and are dropped. `notes` says in
    words which metric or interval is absent, and why.
    """

    kind: str
    num_rows: int
    num_unlabelled: int
    num_positive: int | None
    mean_label: float | None
    num_groups: int | None
    num_group_rows: int | None
    metrics: tuple[Metric, ...]
    notes: tuple[str, ...]

    def __getitem__(self, name: str) -> Metric:
        """The metric of that name; KeyError where it is absent (see `notes`)."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(metric.name == name for metric in self.metrics)

    def to_dict(self) -> dict[str, Json]:
        """Flat, in order: `auc`, `auc_interval` [low, high], ..., `gauc_groups`, `gauc_rows`, counts.

        An interval that is absent is null where the metric itself is there.
        """
        record: dict[str, Json] = {}
        for metric in self.metrics:
            record[metric.name] = metric.value
            record[f"{metric.name}_interval"] = (
                None if metric.interval is None else [metric.interval.low, metric.interval.high]
            )
            if metric.name in ("gauc", "gxauc"):
                record[f"{metric.name}_groups"] = self.num_groups
                record[f"{metric.name}_rows"] = self.num_group_rows
        record["rows"] = self.num_rows
        record["unlabelled"] = self.num_unlabelled
        if self.num_positive is not None:
            record["positives"] = self.num_positive
        if self.mean_label is not None:
            record["mean_label" if self.num_positive is None else "base_rate"] = self.mean_label
        if self.notes:
            record["notes"] = list(self.notes)
        return record
