"""The training loop: a generator, so that logging and reports are statements in the caller."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from polytask.balancing import Need, Step, balanced_backward
from polytask.balancing.measurement import read_scalars
from polytask.balancing.randomness import seed_at
from polytask.data.examples import Examples, batches, epoch_order
from polytask.errors import UserError
from polytask.model import Outputs
from polytask.training.evaluation import Validation, calibrate, validate
from polytask.training.memory import keep_freed_memory
from polytask.training.optimizer import learning_rate_at
from polytask.training.run import TrainingRun, autocast, device_of
from polytask.training.run_state import share_state


@dataclass(frozen=True, slots=True, eq=False)
class TrainStep:
    """One optimizer step: what was measured and decided, and the validation if one followed.

    `rows` are those of the whole batch, of which each of several ranks had a part.
    """

    step: int
    epoch: int
    rows: int
    learning_rate: float
    balancing: Step
    validation: Validation | None = None


def train(
    run: TrainingRun, examples: Examples, *, valid: Examples | None = None
) -> Iterator[TrainStep]:
    """Train for the settings' epochs, yielding after every step; all state advances before it.

    With `valid`, the model is validated `validations_per_epoch` times an epoch, training stops when
    patience is out, and the best weights are put back at the end. malloc is told to keep what a
    step frees (see `keep_freed_memory`). All of the run's ranks hand over
    the same examples; they begin where the first one is.

    Raises UserError where a loss is not finite, naming the step, the task and the rows.
    """
    keep_freed_memory()
    share_state(run)
    settings, progress = run.settings, run.progress
    run.model.train()
    per_epoch = run.steps_per_epoch(len(examples))
    validate_at = _validation_steps(per_epoch, settings.validations_per_epoch)
    while progress.epoch < settings.epochs and not run.out_of_patience():
        order_B = epoch_order(len(examples), seed=settings.seed, epoch=progress.epoch)
        rest_B = order_B[progress.batch * settings.batch_size :]
        part = (0, 1) if run.ranks is None else (run.ranks.rank, run.ranks.world)
        feed = batches(examples, settings.batch_size, order_B=rest_B, part=part)
        for step in _epoch(run, feed, total_steps=per_epoch * settings.epochs, order_B=order_B):
            if progress.batch == per_epoch:
                progress.epoch, progress.batch = progress.epoch + 1, 0
            if valid is not None and (progress.batch or per_epoch) in validate_at:
                calibrate(run, examples)
                step = _with_validation(step, validate(run, valid))
            yield step
            if run.out_of_patience():
                break
    if valid is not None:
        run.restore_best()
    calibrate(run, examples)


def _epoch(
    run: TrainingRun, feed: Iterator[Examples], *, total_steps: int, order_B: Tensor
) -> Iterator[TrainStep]:
    """The rest of one epoch; the clock runs from asking for a batch to the end of its step."""
    while True:
        started = time.perf_counter()
        batch = next(feed, None)
        if batch is None:
            return
        step = _take_step(run, batch, total_steps=total_steps, order_B=order_B)
        run.progress.train_seconds += time.perf_counter() - started
        yield step


def _take_step(
    run: TrainingRun, batch: Examples, *, total_steps: int, order_B: Tensor
) -> TrainStep:
    settings, progress, model = run.settings, run.progress, run.model
    device = device_of(model)
    batch = batch.to(device)
    if run.ranks is not None:
        # What a rank drops out is its own, and a function of the step, so that a resumed run repeats.
        place = progress.step * run.ranks.world + run.ranks.rank
        torch.manual_seed(seed_at(settings.seed, place))
    rate = learning_rate_at(
        progress.step,
        total_steps=total_steps,
        peak=settings.learning_rate,
        warmup_fraction=settings.warmup_fraction,
        schedule=settings.schedule,
    )
    with autocast(device, settings.precision):
        outputs = model(*batch.inputs)
        losses = _losses(run, outputs, batch)
        penalty = model.penalty()
    _require_finite(run, losses if run.ranks is None else run.ranks.mean_losses(losses), order_B)
    run.optimizers.zero_grad()
    at_seam = settings.measure_at == "seam" and run.balancer.needs is not Need.LOSSES
    seam = outputs.seam if at_seam else None
    balancing = balanced_backward(
        losses,
        run.balancer,
        seam=seam,
        penalty=penalty,
        epoch=progress.epoch,
        ranks=run.ranks,
    )
    if settings.clip_norm is not None:
        run.optimizers.clip(settings.clip_norm)
    run.optimizers.step(rate)
    if run.balancer.needs_losses_after_step:
        run.balancer.after_step(_losses_now(run, batch))
    epoch = progress.epoch
    num_rows = len(_rows_now(run, order_B))
    progress.step += 1
    progress.batch += 1
    progress.rows += num_rows
    return TrainStep(progress.step, epoch, num_rows, rate, balancing)


def _losses(run: TrainingRun, outputs: Outputs, batch: Examples) -> list[Tensor | None]:
    """The batch's losses; on one of several ranks its share of them, as `Ranks` describes."""
    totals_T = None
    if run.ranks is not None:
        totals_T = run.ranks.mean(run.model.label_totals(batch.labels_BT, batch.weights_BT))
    return run.model.losses(outputs.outputs, batch.labels_BT, batch.weights_BT, totals_T=totals_T)


def _rows_now(run: TrainingRun, order_B: Tensor) -> Tensor:
    """The rows of the whole batch, by their places in the examples."""
    first = run.progress.batch * run.settings.batch_size
    return order_B[first : first + run.settings.batch_size]


@torch.no_grad()
def _losses_now(run: TrainingRun, batch: Examples) -> list[Tensor | None]:
    """The batch's losses after the step, for a balancer that learns from how they fell."""
    with autocast(device_of(run.model), run.settings.precision):
        losses = _losses(run, run.model(*batch.inputs), batch)
        return losses if run.ranks is None else run.ranks.mean_losses(losses)


def _require_finite(run: TrainingRun, losses: list[Tensor | None], order_B: Tensor) -> None:
    values = read_scalars(losses)
    bad = [
        task.name
        for task, loss, value in zip(run.model.tasks, losses, values)
        if loss is not None and not math.isfinite(value)
    ]
    if not bad:
        return
    rows = _rows_now(run, order_B)
    shown = ", ".join(str(int(row)) for row in rows[:5])
    raise UserError(
        f"the loss of {', '.join(bad)} is not finite at step {run.progress.step + 1} "
        f"(epoch {run.progress.epoch + 1}; {len(rows)} training rows, the first {shown}); "
        "training stopped, and what was saved stays. A smaller learning rate, --clip-norm 1 or "
        "a look at these rows' labels and inputs may help"
    )


def _validation_steps(per_epoch: int, validations: int) -> set[int]:
    """The batches after which to validate, evenly spaced; the last of the epoch always."""
    return {max(1, round(per_epoch * (k + 1) / validations)) for k in range(validations)}


def _with_validation(step: TrainStep, validation: Validation) -> TrainStep:
    return TrainStep(
        step.step, step.epoch, step.rows, step.learning_rate, step.balancing, validation
    )
