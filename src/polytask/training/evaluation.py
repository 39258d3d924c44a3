"""A model's predictions on a table, and its validation score."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from polytask.balancing import Ranks
from polytask.model import MultiTaskModel, Network, Outputs
from polytask.streams import Batch
from polytask.training.run import Precision, TrainingRun, autocast, device_of
from polytask.training.scoring import Array, TaskRows
from polytask.training.shares import collected, joined_rows, predicting_ranks, share_of

PREDICTION_BATCH = 2048
_MOST_ENTRIES, _FEWEST_AT_ONCE, _OF_AN_ID = 1 << 21, 16, 16


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """By task: `values` (B,) or (B, C), and, of tasks with `given`, the `conditional` ones:
    p(child | parent) beside the joint p(parent, child). With `num_words` (B,) all are of words."""

    values: Mapping[str, Array]
    conditional: Mapping[str, Array]
    num_words: Tensor | None = None

    @classmethod
    def joined(cls, parts: "Sequence[Predictions]") -> "Predictions":
        """Those of tables one after another."""
        first, *_ = parts
        words = [part.num_words for part in parts if part.num_words is not None]
        return cls(
            {name: joined_rows([part.values[name] for part in parts]) for name in first.values},
            {n: joined_rows([part.conditional[n] for part in parts]) for n in first.conditional},
            torch.cat(words) if words else None,
        )

    def at(self, rows: slice) -> "Predictions":
        """Those of some rows."""
        if rows == slice(None):
            return self
        values, conditional = (
            {name: each[rows] for name, each in part.items()}
            for part in (self.values, self.conditional)
        )
        return Predictions(values, conditional)


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
    model: Network,
    batch: Batch,
    *,
    precision: Precision = "fp32",
    batch_size: int = PREDICTION_BATCH,
) -> Predictions:
    """Predictions for all rows, in evaluation mode; labels are not needed.

    >>> from polytask.inputs import SingleInput
    >>> from polytask.task import binary
    >>> from polytask.trunks import SharedBottom
    >>> model = MultiTaskModel(SingleInput("x"), SharedBottom(4, 1), [binary("click")])
    >>> predict(model, Batch({"x": torch.zeros(3, 4)})).values["click"].shape
    (3,)
    """
    return _predict(model, batch, precision, batch_size, watch=lambda result, host, rows: None)


def predict_together(
    model: Network, batch: Batch, ranks: Ranks | None, *, precision: Precision = "fp32"
) -> Predictions | None:
    """`predict` by ranks that hold the same model and table, each a share; None on all but the first."""
    together = predicting_ranks(model, ranks)
    if together is None and ranks is not None and ranks.rank > 0:
        return None
    mine = share_of(batch, together, piece=_piece(batch))
    parts = collected(predict(model, mine, precision=precision), together)
    return None if parts is None else Predictions.joined(parts)


def validate(run: TrainingRun, table: Batch) -> Validation:
    """Score the model on the table and remember the weights where they are the best so far.

    Of several ranks each predicts a share; the first one scores, and tells the others.
    """
    together = predicting_ranks(run.model, run.ranks)
    if run.ranks is None:
        validation = _scored(run, table, None)
        assert validation is not None
        return validation
    is_needed = together is not None or run.ranks.rank == 0
    validation = run.ranks.share(_scored(run, table, together) if is_needed else None)
    if run.ranks.rank > 0:
        run.keep_if_best(validation.score)
    return validation


def _scored(run: TrainingRun, table: Batch, ranks: Ranks | None) -> Validation | None:
    """The score, from the predictions of all ranks; None on those that are not the first."""
    model, losses = run.model, _MeanLosses(run.model)
    mine = share_of(table, ranks, piece=_piece(table))
    own = _predict(model, mine, run.settings.precision, PREDICTION_BATCH, watch=losses.add)
    parts = collected((own, np.array([losses.sums, losses.totals])), ranks)
    if parts is None:
        return None
    predictions = Predictions.joined([part for part, _ in parts])
    losses.sums, losses.totals = np.sum([sums for _, sums in parts], axis=0).tolist()
    rows = {
        task.name: TaskRows.of(task, predictions.values[task.name], table, predictions.num_words)
        for task in model.tasks
        if task.name in {term.task for term in run.monitor.terms}
    }
    metrics: dict[str, dict[str, float]] = {}
    for term in run.monitor.terms:
        metrics.setdefault(term.task, {})[term.metric] = rows[term.task].metric(term.metric)
    score = run.monitor.score(metrics, model.tasks)
    return Validation(
        step=run.progress.step,
        epoch=run.progress.epoch,
        score=score,
        metrics=metrics,
        losses=losses.means(),
        is_best=run.keep_if_best(score),
    )


class _MeanLosses:
    """Each loss over all rows of a table that is seen in pieces."""

    def __init__(self, model: MultiTaskModel) -> None:
        self.model = model
        self.sums = [0.0] * model.num_losses
        self.totals = [0.0] * model.num_losses

    def add(self, result: Outputs, host: Batch, rows: Batch) -> None:
        """What the rows count is known on the host, without a transfer."""
        counts = self.model.counts(host)
        losses = self.model.losses(result, rows, counts)
        for t, (loss, total) in enumerate(zip(losses, counts.totals)):
            if loss is not None:
                self.sums[t] += loss.item() * total
                self.totals[t] += total

    def means(self) -> dict[str, float]:
        """By task and objective; those without a row that counts are left out."""
        sums = zip(self.model.loss_names, self.sums, self.totals)
        return {name: total / count for name, total, count in sums if count > 0}


def _predict(
    model: Network,
    batch: Batch,
    precision: Precision,
    batch_size: int,
    *,
    watch: Callable[[Outputs, Batch, Batch], None],
) -> Predictions:
    """Predictions piece by piece; `watch` sees what the model made of each: on the host, and moved."""
    values: dict[str, list[Tensor]] = {task.name: [] for task in model.tasks}
    conditional: dict[str, list[Tensor]] = {t.name: [] for t in model.tasks if t.given is not None}
    num_words: list[Tensor] = []
    device, batch_size = device_of(model), _piece(batch, batch_size)
    with evaluating(model, precision):
        # A table without rows is one piece without rows: its predictions have their shapes.
        for start in range(0, max(len(batch), 1), batch_size):
            host = batch[start : start + batch_size]
            rows = host.to(device)
            result = model(rows.inputs, needs_seam=False)
            watch(result, host, rows)
            num_words += [] if result.num_words is None else [result.num_words.cpu()]
            for task, output, own in zip(model.tasks, result.outputs, result.own):
                values[task.name].append(task.kind.predict(output))
                if task.given is not None:
                    conditional[task.name].append(task.kind.predict(own))
    words = torch.cat(num_words) if num_words else None
    return Predictions(_joined(values), _joined(conditional), words)


def _piece(batch: Batch, most: int = PREDICTION_BATCH) -> int:
    """Rows that are predicted at a time."""
    return min(most, rows_at_once(batch))


def rows_at_once(batch: Batch) -> int:
    """Rows of pictures and of words come in small pieces: what a network makes of a row is many times the row.

    >>> rows_at_once(Batch({"x": torch.zeros(5, 9)})), rows_at_once(Batch({"x": torch.zeros(5, 3, 64, 64)}))
    (233016, 170)
    """
    width = sum(_entries(tensor) for tensor in batch.inputs.values())
    return max(_FEWEST_AT_ONCE, _MOST_ENTRIES // max(width, 1))


def _entries(values: Tensor) -> int:
    """The numbers of a row; lists of ids become vectors."""
    is_ids = values.ndim > 2 and values.dtype in (torch.int32, torch.int64)
    return values[:1].numel() * (_OF_AN_ID if is_ids else 1)


@contextmanager
def evaluating(model: Network, precision: Precision) -> Iterator[None]:
    """Evaluation mode, no gradients, the run's precision; the mode is put back afterwards."""
    was_training = model.training
    # A walk over all modules, which for one row takes as long as the network does.
    if was_training:
        model.eval()
    try:
        with torch.inference_mode(), autocast(device_of(model), precision):
            yield
    finally:
        if was_training:
            model.train()


def _joined(pieces: Mapping[str, list[Tensor]]) -> dict[str, Array]:
    return {name: torch.cat(each).cpu().numpy() for name, each in pieces.items()}
