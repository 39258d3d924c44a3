"""The training loop: a generator, so that logging and reports are statements in the caller."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from polytask.balancing import Need, Step, balanced_backward
from polytask.balancing.measurement import NotFiniteError
from polytask.balancing.plan import OnlyTablesError
from polytask.balancing.randomness import seed_at
from polytask.errors import UserError
from polytask.model import Added, Counts, without_idle_rows
from polytask.streams import Batch, Stream
from polytask.training.calibrating import calibrate
from polytask.training.evaluation import Validation, validate
from polytask.training.labelled import labelled_places
from polytask.training.memory import collector_spared, freed_memory_kept
from polytask.training.optimizer import learning_rate_at
from polytask.training.randomness import drawn_from
from polytask.training.run import TrainingRun, autocast, device_of
from polytask.training.run_state import share_state


@dataclass(frozen=True, slots=True, eq=False)
class TrainStep:
    """One optimizer step: its batch, what was measured and decided, the validation if one followed.

    `added` are the losses that no balancer weighs, each with its weight, `accuracies` those of objectives that
    are judged by it.
    `rows` is the number of those of the whole batch, of which each of several ranks had a part.
    """

    step: int
    epoch: int
    rows: int
    learning_rate: float
    balancing: Step
    batch: Batch
    validation: Validation | None = None
    added: Mapping[str, Added] = field(default_factory=dict)
    accuracies: Mapping[str, Tensor] = field(default_factory=dict)


def train(run: TrainingRun, stream: Stream, *, valid: Batch | None = None) -> Iterator[TrainStep]:
    """Train for the settings' epochs, yielding after every step; all state advances before it.

    With `valid`, the model is validated `validations_per_epoch` times an epoch, training stops when
    patience is out, and the best weights are put back at the end. Meanwhile malloc keeps what a
    step frees (see `freed_memory_kept`). All of the run's ranks hand over
    the same stream; they begin where the first one is.

    Raises UserError where a loss is not finite, naming the step, the task and the rows.

    >>> from polytask.balancing import MGDA
    >>> from polytask.inputs import SingleInput
    >>> from polytask.model import MultiTaskModel
    >>> from polytask.streams import InMemoryStream
    >>> from polytask.task import binary, regression
    >>> from polytask.training import Settings
    >>> from polytask.trunks import MMoE
    >>> x_BD = torch.randn(200, 4)
    >>> table = Batch({"x": x_BD}, {"click": (x_BD[:, 0] > 0).float(), "watch": x_BD[:, 1]})
    >>> model = MultiTaskModel(SingleInput("x"), MMoE(4, 2), [binary("click"), regression("watch")])
    >>> run = TrainingRun.start(model, MGDA(2), settings=Settings(epochs=2))
    >>> stream = InMemoryStream(table[:150], batch_size=50)
    >>> for step in train(run, stream, valid=table[150:]):
    ...     if step.validation:
    ...         print(step.step, [*step.validation.metrics])
    3 ['click', 'watch']
    6 ['click', 'watch']
    """
    share_state(run)
    scored = valid
    if valid is not None:
        places = labelled_places(run.model.tasks, valid, run.model.objectives)
        scored = valid if places is None else valid[places]
    with freed_memory_kept(), collector_spared():
        yield from _steps(run, stream, scored)
    if valid is not None:
        run.restore_best()
    calibrate(run.model, stream, run.settings)


def _steps(run: TrainingRun, stream: Stream, valid: Batch | None) -> Iterator[TrainStep]:
    settings, progress = run.settings, run.progress
    run.model.train()
    total_steps = sum(stream.num_batches(epoch) for epoch in range(settings.epochs))
    while progress.epoch < settings.epochs and not run.out_of_patience():
        per_epoch = stream.num_batches(progress.epoch)
        started = time.perf_counter()
        step = _take_step(run, stream, total_steps=total_steps)
        progress.train_seconds += time.perf_counter() - started
        validate_now = progress.batch in _validation_steps(
            per_epoch, settings.validations_per_epoch
        )
        if progress.batch == per_epoch:
            progress.epoch, progress.batch = progress.epoch + 1, 0
        if valid is not None and validate_now:
            run.optimizers.settle()
            calibrate(run.model, stream, run.settings)
            step = replace(step, validation=validate(run, valid))
        yield step
    run.optimizers.settle()


def _take_step(run: TrainingRun, stream: Stream, *, total_steps: int) -> TrainStep:
    settings, progress = run.settings, run.progress
    batch, counts = _next_batch(run, stream)
    rate = learning_rate_at(
        progress.step,
        total_steps=total_steps,
        peak=settings.learning_rate,
        warmup_fraction=settings.warmup_fraction,
        schedule=settings.schedule,
    )
    run.optimizers.zero_grad()
    balancing, added, accuracies = _filled_gradients(run, stream, batch, counts)
    if settings.clip_norm is not None:
        run.optimizers.clip(settings.clip_norm)
    run.optimizers.step(rate)
    if run.balancer.needs_losses_after_step:
        run.balancer.after_step(_losses_now(run, batch, counts))
    run.model.advance()
    epoch = progress.epoch
    num_rows = stream.num_rows(settings.seed, epoch, progress.batch)
    progress.step += 1
    progress.batch += 1
    progress.rows += num_rows
    return TrainStep(
        progress.step, epoch, num_rows, rate, balancing, batch, added=added, accuracies=accuracies
    )


def _filled_gradients(
    run: TrainingRun, stream: Stream, batch: Batch, counts: Counts
) -> tuple[Step, dict[str, Added], dict[str, Tensor]]:
    """One pass forward and the balanced one back; with it the losses that are added, and accuracies."""
    model, settings = run.model, run.settings
    needs_seam = run.balancer.needs is not Need.LOSSES
    # The losses of one of several ranks are its share of them, as `Ranks` describes.
    with _running(run):
        result = model(batch.inputs, needs_seam=needs_seam)
        losses = model.losses(result, batch, counts)
        added = model.added_losses(result, batch, counts)
        penalty = model.penalty(result, batch, counts, added=added)
        accuracies = model.accuracies(result, batch)
    at_seam = settings.measure_at == "seam" and needs_seam
    with _told_of_the_losses(run, stream):
        balancing = balanced_backward(
            losses,
            run.balancer,
            seam=model.seam(result) if at_seam else None,
            penalty=penalty,
            epoch=run.progress.epoch,
            ranks=run.ranks,
        )
    detached = {name: Added(each.loss.detach(), each.weight) for name, each in added.items()}
    return balancing, detached, accuracies


def _next_batch(run: TrainingRun, stream: Stream) -> tuple[Batch, Counts]:
    """The run's part of the next batch on its device, and what its rows count in the whole one.

    Rows that count in no loss stay out.
    """
    place = (run.settings.seed, run.progress.epoch, run.progress.batch)
    if run.ranks is None:
        batch = stream.batch(*place)
        batch, counts = without_idle_rows(batch, run.model.counts(batch))
        return batch.to(device_of(run.model)), counts
    batch = stream.batch(*place, part=(run.ranks.rank, run.ranks.world))
    counts = run.model.counts(batch)
    totals = run.ranks.mean(torch.tensor(counts.totals, dtype=torch.float64))
    batch, counts = without_idle_rows(batch, counts)
    return batch.to(device_of(run.model)), replace(counts, totals=tuple(totals.tolist()))


@contextmanager
def _running(run: TrainingRun) -> Iterator[None]:
    """What is dropped out is a function of the step and the rank, so that a resumed run repeats."""
    rank, world = (0, 1) if run.ranks is None else (run.ranks.rank, run.ranks.world)
    device, seed = (
        device_of(run.model),
        seed_at(run.settings.seed, run.progress.step * world + rank),
    )
    with drawn_from(seed, device), autocast(device, run.settings.precision):
        yield


def _losses_now(run: TrainingRun, batch: Batch, counts: Counts) -> list[Tensor | None]:
    """The batch's losses after the step, for a balancer that learns from how they fell."""
    with torch.no_grad(), _running(run):
        result = run.model(batch.inputs, needs_seam=False)
        losses = run.model.losses(result, batch, counts)
    return losses if run.ranks is None else run.ranks.mean_losses(losses)


@contextmanager
def _told_of_the_losses(run: TrainingRun, stream: Stream) -> Iterator[None]:
    """Say of a loss that is not finite which task's it is and of which rows; of no place to measure, another."""
    try:
        yield
    except OnlyTablesError as error:
        raise UserError(
            "--measure-at=parameters: the tasks share nothing but embedding tables, and gradients "
            "are not compared there: take --measure-at=seam, or a trunk that shares layers"
        ) from error
    except NotFiniteError as error:
        progress = run.progress
        whole = stream.batch(run.settings.seed, progress.epoch, progress.batch)
        known = [] if whole.rows is None else whole.rows[:5].tolist()
        rows = f"{len(whole)} training rows"
        rows += f", the first {', '.join(map(str, known))}" if known else ""
        bad = [run.model.loss_names[t] for t in error.tasks]
        whose = f"the loss of {', '.join(bad)}" if bad else "the penalty"
        raise UserError(
            f"{whose} is not finite at step {progress.step + 1} "
            f"(epoch {progress.epoch + 1}, batch {progress.batch + 1}; {rows}); "
            "training stopped, and what was saved stays. A smaller learning rate, --clip-norm=1 or "
            "a look at these rows' labels and inputs may help"
        ) from error


def _validation_steps(per_epoch: int, validations: int) -> set[int]:
    """The batches after which to validate, evenly spaced; the last of the epoch always."""
    validations = min(validations, per_epoch)
    return {max(1, round(per_epoch * (k + 1) / validations)) for k in range(validations)}
