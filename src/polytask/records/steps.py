"""The lines of steps.jsonl: one optimizer step, or one validation, of one model."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from polytask.records.metrics import MetricValue


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One optimizer step of one model; a task absent from the batch is absent here.

    Losses and weights are of the tasks and of extra losses, whether a balancer weighs them or not;
    `accuracies` of those extra losses that are judged by it.

    What follows `train_seconds` is there where the balancer measured gradients: their lengths before
    any weight, the cosine of each pair under its first task, and the share of pairs below 0.
    """

    FORMAT: ClassVar[str] = "polytask step"

    model: str
    step: int
    epoch: int
    learning_rate: float
    losses: Mapping[str, float]
    weights: Mapping[str, float]
    train_seconds: float
    norms: Mapping[str, float] = field(default_factory=dict)
    cosines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    conflict_rate: float | None = None
    accuracies: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ValidationRecord:
    """One validation of one model: its score, and each task's metrics (without intervals) and loss.

    A metric that the validation rows do not define is left out; where that is all of them, there is
    no score.
    """

    FORMAT: ClassVar[str] = "polytask validation"

    model: str
    step: int
    epoch: int
    score: float | None
    is_best: bool
    metrics: Mapping[str, tuple[MetricValue, ...]]
    losses: Mapping[str, float]


HistoryRecord: TypeAlias = StepRecord | ValidationRecord


class History(list[HistoryRecord]):
    """The lines of steps.jsonl, in order. As a list of some thousands it is shown by its counts."""

    def __repr__(self) -> str:
        counts = Counter(type(line) for line in self)
        models = list(dict.fromkeys(line.model for line in self))
        return (
            f"History({counts[StepRecord]:,} steps and {counts[ValidationRecord]:,} validations of "
            f"{', '.join(models) or 'no model'})"
        )
