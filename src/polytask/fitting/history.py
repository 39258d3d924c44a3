"""What a training step and a validation leave in the history, which is steps.jsonl."""

import math

from polytask.records import StepRecord, ValidationRecord
from polytask.training.evaluation import Validation
from polytask.training.loop import TrainStep
from polytask.training.run import TrainingRun


def step_record(model: str, run: TrainingRun, step: TrainStep) -> StepRecord:
    """What a step measured and decided, by the name of the task or of the extra loss."""
    decided = step.balancing
    names = list(run.model.loss_names)
    losses = _finite(names, decided.losses_T.tolist())
    weights = dict(zip(names, decided.weights.shared_T.tolist()))
    added = {name: each.loss.item() for name, each in step.added.items()}
    norms_T, cosines_TT, conflict_rate = decided.norms_T, decided.cosines_TT, decided.conflict_rate
    is_defined = conflict_rate is not None and math.isfinite(conflict_rate)
    return StepRecord(
        model=model,
        step=step.step,
        epoch=step.epoch,
        learning_rate=step.learning_rate,
        losses=losses | added,
        weights={name: weight for name, weight in weights.items() if name in losses}
        | {name: each.weight for name, each in step.added.items()},
        train_seconds=run.progress.train_seconds,
        norms={} if norms_T is None else _finite(names, norms_T.tolist()),
        cosines={} if cosines_TT is None else _pairs(names, cosines_TT.tolist()),
        conflict_rate=conflict_rate if is_defined else None,
        accuracies={name: value.item() for name, value in step.accuracies.items()},
    )


def validation_record(model: str, run: TrainingRun, validation: Validation) -> ValidationRecord:
    """A validation's score and what it is made of; a metric that is not defined is left out."""
    kinds = {task.name: task.kind for task in run.model.tasks}
    return ValidationRecord(
        model=model,
        step=validation.step,
        epoch=validation.epoch,
        score=None if math.isnan(validation.score) else validation.score,
        is_best=validation.is_best,
        metrics={
            task: tuple(
                kinds[task].metric(name).record(value)
                for name, value in values.items()
                if math.isfinite(value)
            )
            for task, values in validation.metrics.items()
        },
        losses=validation.losses,
    )


def _finite(names: list[str], values: list[float]) -> dict[str, float]:
    return {name: value for name, value in zip(names, values) if math.isfinite(value)}


def _pairs(names: list[str], values_TT: list[list[float]]) -> dict[str, dict[str, float]]:
    """Each pair once, under the task that comes first."""
    pairs = {
        name: _finite(names[first + 1 :], values_TT[first][first + 1 :])
        for first, name in enumerate(names)
    }
    return {name: others for name, others in pairs.items() if others}
