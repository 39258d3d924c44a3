"""What kinds settle after training, from what the model makes of training rows."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from polytask.model import Network
from polytask.streams import Batch, Stream
from polytask.task import Task
from polytask.training.evaluation import evaluating
from polytask.training.labelled import labelled_places
from polytask.training.run import Precision, Settings, device_of

_CALIBRATION_ROWS = 100_000


def calibrate(model: Network, stream: Stream, settings: Settings) -> None:
    """What kinds settle after training, such as the smearing factor, on some 100,000 training rows."""
    if not any(task.kind.needs_calibration for task in model.tasks):
        return
    pieces, num_rows = [], 0
    for index in range(stream.num_batches(0)):
        if num_rows < _CALIBRATION_ROWS:
            batch = stream.batch(settings.seed, 0, index)
            num_rows += len(batch)
            places = labelled_places(model.tasks, batch)
            pieces.append(batch if places is None else batch[places])
    outputs = [_outputs(model, batch, settings.precision) for batch in pieces]
    model.tasks = tuple(
        _calibrated(task, [each[t] for each in outputs], pieces)
        for t, task in enumerate(model.tasks)
    )


def _outputs(model: Network, batch: Batch, precision: Precision) -> list[Tensor]:
    with evaluating(model, precision):
        return [each.cpu() for each in model(batch.to(device_of(model)).inputs).outputs]


def _calibrated(task: Task, outputs: Sequence[Tensor], pieces: Sequence[Batch]) -> Task:
    """With a kind that has seen its trained outputs on the labelled rows of the pieces."""
    known = [(each, batch) for each, batch in zip(outputs, pieces) if task.name in batch.labels]
    if not known or not task.kind.needs_calibration:
        return task
    outputs_BO = torch.cat([each for each, _ in known])
    labels_B = torch.cat([batch.labels[task.name].cpu() for _, batch in known])
    weights_B = torch.cat(
        [batch.weights.get(task.name, torch.ones(len(batch))).double().cpu() for _, batch in known]
    )
    kept_B = task.kind.is_labelled(labels_B)
    kind = task.kind.calibrated(outputs_BO[kept_B], labels_B[kept_B], weights_B[kept_B])
    return replace(task, kind=kind)
