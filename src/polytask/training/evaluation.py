"""A model's predictions on examples, and its validation score."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from polytask.data.examples import Examples
from polytask.metrics import quick_metric
from polytask.model import MultiTaskModel, Outputs
from polytask.task import Task
from polytask.training.run import Precision, TrainingRun, autocast, device_of

PREDICTION_BATCH = 8192
_CALIBRATION_ROWS = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Per task, in order: `values` (B,) or (B, C), and `conditional`, which differs from `values`
    for a task with `given` only: p(child | parent) beside the joint p(parent, child)."""

    values: tuple[np.ndarray, ...]
    conditional: tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True)
class Validation:
    """The score that early stopping compares, the metrics it is made of, and losses per task."""

    step: int
    epoch: int
    score: float
    metrics: dict[str, dict[str, float]]
    losses: dict[str, float]
    is_best: bool


def predict(
    model: MultiTaskModel,
    inputs: tuple[Tensor, ...],
    *,
    precision: Precision = "fp32",
    batch_size: int = PREDICTION_BATCH,
) -> Predictions:
    """Predictions for all rows, in evaluation mode; labels are not needed."""
    results = _results(model, inputs, precision=precision, batch_size=batch_size)
    return _joined([_predicted(model.tasks, result) for result in results])


def _results(
    model: MultiTaskModel, inputs: tuple[Tensor, ...], *, precision: Precision, batch_size: int
) -> Iterator[Outputs]:
    device = device_of(model)
    with _evaluating(model, precision):
        for start in range(0, len(inputs[0]), batch_size):
            yield model(*(tensor[start : start + batch_size].to(device) for tensor in inputs))


def validate(run: TrainingRun, examples: Examples) -> Validation:
    """Score the model on `examples` and remember the weights where they are the best so far.

    Of several ranks the first one scores, and tells the others.
    """
    if run.ranks is None:
        return _validate(run, examples)
    validation = _validate(run, examples) if run.ranks.rank == 0 else None
    validation = run.ranks.share(validation)
    if run.ranks.rank > 0:
        run.keep_if_best(validation.score)
    return validation


def calibrate(run: TrainingRun, examples: Examples) -> None:
    """What kinds settle after training, such as the smearing factor, on some 100,000 training rows."""
    model = run.model
    if not any(task.kind.needs_calibration for task in model.tasks):
        return
    rows = examples[:: max(len(examples) // _CALIBRATION_ROWS, 1)]
    precision = run.settings.precision
    results = _results(model, rows.inputs, precision=precision, batch_size=PREDICTION_BATCH)
    outputs = [torch.cat(parts).cpu() for parts in zip(*(result.outputs for result in results))]
    model.tasks = tuple(
        _calibrated(task, outputs[t], rows, position=t) for t, task in enumerate(model.tasks)
    )


def _calibrated(task: Task, outputs_BO: Tensor, rows: Examples, *, position: int) -> Task:
    labels_B = rows.labels_BT[:, position].cpu()
    kept_B = task.kind.is_labelled(labels_B)
    weights_B = torch.ones(len(rows), dtype=torch.float64)
    if rows.weights_BT is not None:
        weights_B = rows.weights_BT[:, position].double().cpu()
    kind = task.kind.calibrated(outputs_BO[kept_B], labels_B[kept_B], weights_B[kept_B])
    return replace(task, kind=kind)


def _validate(run: TrainingRun, examples: Examples) -> Validation:
    predictions, losses = _predictions_and_losses(run, examples)
    labels_BT = examples.labels_BT.cpu().numpy()
    groups = None if examples.group_B is None else examples.group_B.cpu().numpy()
    tasks = run.model.tasks
    positions = {task.name: t for t, task in enumerate(tasks)}
    values: dict[tuple[str, str], float] = {}
    for term in run.monitor.terms:
        t = positions[term.task]
        values[term.task, term.metric] = quick_metric(
            term.metric,
            tasks[t].kind,
            predictions.values[t],
            tasks[t].kind.decode(labels_BT[:, t]),
            groups=groups,
        )
    score = run.monitor.score(values)
    return Validation(
        step=run.progress.step,
        epoch=run.progress.epoch,
        score=score,
        metrics=_nested(values),
        losses=losses,
        is_best=run.keep_if_best(score),
    )


def _predictions_and_losses(
    run: TrainingRun, examples: Examples
) -> tuple[Predictions, dict[str, float]]:
    """One pass: predictions, and each task's mean loss over its labelled rows."""
    model, device = run.model, device_of(run.model)
    chunks = []
    totals, counts = np.zeros(len(model.tasks)), np.zeros(len(model.tasks))
    with _evaluating(model, run.settings.precision):
        for start in range(0, len(examples), PREDICTION_BATCH):
            batch = examples[start : start + PREDICTION_BATCH].to(device)
            result = model(*batch.inputs)
            chunks.append(_predicted(model.tasks, result))
            losses = model.losses(result.outputs, batch.labels_BT, batch.weights_BT)
            labelled_T = model.labelled(batch.labels_BT).sum(dim=0).tolist()
            for t, (loss, labelled) in enumerate(zip(losses, labelled_T)):
                if loss is not None:
                    totals[t] += loss.item() * labelled
                    counts[t] += labelled
    means = zip(model.tasks, totals, counts)
    return _joined(chunks), {task.name: float(total / n) for task, total, n in means if n > 0}


@contextmanager
def _evaluating(model: MultiTaskModel, precision: Precision) -> Iterator[None]:
    """Evaluation mode, no gradients, the run's precision; the mode is put back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), autocast(device_of(model), precision):
            yield
    finally:
        model.train(was_training)


def _predicted(tasks: Sequence[Task], result: Outputs) -> tuple[list[Tensor], list[Tensor]]:
    values = [task.kind.predict(output) for task, output in zip(tasks, result.outputs)]
    conditional = [task.kind.predict(own) for task, own in zip(tasks, result.own)]
    return values, conditional


def _joined(chunks: Sequence[tuple[list[Tensor], list[Tensor]]]) -> Predictions:
    values, conditional = zip(*chunks)
    return Predictions(_join(values), _join(conditional))


def _join(chunks: tuple[list[Tensor], ...]) -> tuple[np.ndarray, ...]:
    return tuple(torch.cat(parts).cpu().numpy() for parts in zip(*chunks))


def _nested(values: Mapping[tuple[str, str], float]) -> dict[str, dict[str, float]]:
    nested: dict[str, dict[str, float]] = {}
    for (task, metric), value in values.items():
        nested.setdefault(task, {})[metric] = value
    return nested
