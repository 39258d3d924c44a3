"""The lines of steps.jsonl: plain values, one a logged step or a validation."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from polytask.training.evaluation import Validation
from polytask.training.loop import TrainStep
from polytask.training.run import TrainingRun


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One optimizer step of one model; a task absent from the batch is absent here.

    `relative_rates` are each task's loss over its first logged one, divided by the mean of these
    ratios. What follows them is there where the balancer measured gradients: their lengths before any
    weight, the cosine of each pair under its first task, the share of pairs below 0, and how alike the
    lengths are.
    """

    model: str
    step: int
    epoch: int
    learning_rate: float
    losses: dict[str, float]
    weights: dict[str, float]
    train_seconds: float
    relative_rates: dict[str, float] = field(default_factory=dict)
    norms: dict[str, float] = field(default_factory=dict)
    cosines: dict[str, dict[str, float]] = field(default_factory=dict)
    conflict_rate: float | None = None
    magnitude_similarity: float | None = None


@dataclass(frozen=True, slots=True)
class ValidationRecord:
    """One validation of one model."""

    model: str
    step: int
    epoch: int
    score: float
    is_best: bool
    valid_metrics: dict[str, dict[str, float]]
    valid_losses: dict[str, float]


Record = StepRecord | ValidationRecord


def step_record(
    model: str, run: TrainingRun, step: TrainStep, *, first_losses: Mapping[str, float]
) -> StepRecord:
    """What a step measured and decided, by task name."""
    decided = step.balancing
    names = [task.name for task in run.model.tasks]
    losses = _finite(names, decided.losses_T.tolist())
    norms_T, cosines_TT = decided.norms_T, decided.cosines_TT
    return StepRecord(
        model=model,
        step=step.step,
        epoch=step.epoch,
        learning_rate=step.learning_rate,
        losses=losses,
        weights={
            name: weight
            for name, weight in zip(names, decided.weights.shared_T.tolist())
            if name in losses
        },
        train_seconds=run.progress.train_seconds,
        relative_rates=_relative_rates(losses, first_losses),
        norms={} if norms_T is None else _finite(names, norms_T.tolist()),
        cosines={} if cosines_TT is None else _pairs(names, cosines_TT.tolist()),
        conflict_rate=_defined(decided.conflict_rate),
        magnitude_similarity=_defined(decided.magnitude_similarity),
    )


def first_losses(history: Iterable["Record"], model: str) -> dict[str, float]:
    """The first logged loss of each task of a model."""
    found: dict[str, float] = {}
    for record in history:
        if isinstance(record, StepRecord) and record.model == model:
            found = {**record.losses, **found}
    return found


def _relative_rates(losses: Mapping[str, float], first: Mapping[str, float]) -> dict[str, float]:
    """Chen et al., ICML 2018, eq. 3; for losses above zero, two or more."""
    kept = {
        task: loss / first.get(task, loss)
        for task, loss in losses.items()
        if loss > 0 and first.get(task, loss) > 0
    }
    if len(kept) < 2:
        return {}
    mean = sum(kept.values()) / len(kept)
    return {task: share / mean for task, share in kept.items()}


def _finite(names: list[str], values: list[float]) -> dict[str, float]:
    return {name: value for name, value in zip(names, values) if math.isfinite(value)}


def _pairs(names: list[str], values_TT: list[list[float]]) -> dict[str, dict[str, float]]:
    """Each pair once, under the task that comes first."""
    pairs = {
        name: _finite(names[first + 1 :], values_TT[first][first + 1 :])
        for first, name in enumerate(names)
    }
    return {name: others for name, others in pairs.items() if others}


def _defined(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def validation_record(model: str, validation: Validation) -> ValidationRecord:
    """A validation's score and what it is made of."""
    return ValidationRecord(
        model=model,
        step=validation.step,
        epoch=validation.epoch,
        score=validation.score,
        is_best=validation.is_best,
        valid_metrics=validation.metrics,
        valid_losses=validation.losses,
    )


def to_dict(record: Record) -> dict[str, object]:
    return asdict(record)


def from_dict(values: dict[str, object]) -> Record:
    """The record that `to_dict` wrote; the presence of a score tells the two apart."""
    kind: type[StepRecord] | type[ValidationRecord] = (
        ValidationRecord if "score" in values else StepRecord
    )
    return kind(**values)  # type: ignore[arg-type]
