"""From losses of rows to the loss of a batch: which rows count, and how much."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polytask.streams import Batch

_MOST_USED = 0.75
"""Gathering fewer rows than these costs less than what is spared."""


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """What the rows of a batch count in each of K losses.

    `rows` are K vectors (B,), or None where all rows count 1; `totals` their sums, by which the
    weighted sums of losses are divided: those of the whole batch where this is a part of it.
    Made of a batch in the host's memory, they are known without a word from the accelerator.
    """

    rows: tuple[Tensor | None, ...]
    totals: tuple[float, ...]

    @classmethod
    def of(cls, rows: Sequence[Tensor | None], batch: Batch) -> "Counts":
        if batch.is_stand_in:
            rows = [torch.zeros(len(batch)) for _ in rows]
        totals = [
            float(len(batch)) if row_B is None else float(row_B.sum(dtype=torch.float64))
            for row_B in rows
        ]
        return cls(tuple(rows), tuple(totals))


def without_idle_rows(batch: Batch, counts: Counts) -> tuple[Batch, Counts]:
    """The rows that count in some loss, where a quarter or more of them count in none.

    What a network makes of the others is lost, whether in a step or in a validation: a task alone, whose
    labels are on a sixth of the rows, is trained in a sixth of the time. The losses are the same.

    >>> batch = Batch({"x": torch.zeros(3)}, {"click": torch.tensor([1.0, torch.nan, 0.0])})
    >>> kept, counts = without_idle_rows(batch, Counts.of([labelled_rows("click", batch)], batch))
    >>> len(kept), counts.rows, counts.totals
    (2, (tensor([1., 1.]),), (2.0,))
    """
    vectors = [row_B for row_B in counts.rows if row_B is not None]
    if not vectors or len(vectors) < len(counts.rows) or any(len(v) != len(batch) for v in vectors):
        # All rows count somewhere; or what counts are words.
        return batch, counts
    used = few_enough(torch.stack(vectors).any(dim=0))
    if used is None:
        return batch, counts
    rows = tuple(None if row_B is None else row_B[used] for row_B in counts.rows)
    return batch[used], Counts(rows, counts.totals)


def few_enough(is_used_B: Tensor) -> Tensor | None:
    """The places that are used; None where it is none, or so many that the others are not worth leaving out.

    >>> few_enough(torch.tensor([True, False])), few_enough(torch.tensor([True, True]))
    (tensor([0]), None)
    """
    num_used = int(is_used_B.sum())
    is_worth_it = 0 < num_used <= _MOST_USED * len(is_used_B)
    return is_used_B.nonzero().squeeze(1) if is_worth_it else None


def labelled_rows(
    name: str, batch: Batch, *, is_labelled: Callable[[Tensor], Tensor] | None = None
) -> Tensor | None:
    """A task's row weights, 0 where it has no label; None where all rows have one and weigh alike.

    >>> batch = Batch({"x": torch.zeros(2)}, {"click": torch.tensor([1.0, torch.nan])})
    >>> labelled_rows("click", batch)
    tensor([1., 0.])
    """
    if name not in batch.labels:
        return torch.zeros(len(batch))
    labels, weights_B = batch.labels[name], batch.weights.get(name)
    labelled_B = (is_labelled or _is_present)(labels)
    if labelled_B.all():
        return weights_B
    present_B = labelled_B.to(torch.float32)
    return present_B if weights_B is None else present_B * weights_B


def _is_present(labels: Tensor) -> Tensor:
    """Rows without a NaN: what objectives take for labelled whose kind does not say."""
    missing_B = labels.isnan()
    return ~(missing_B if labels.ndim == 1 else missing_B.flatten(1).any(dim=1))


def reduce(losses_B: Tensor, row_B: Tensor | None, total: float) -> Tensor:
    """The weighted sum of the rows' losses over `total`; their mean where all count alike."""
    if row_B is not None:
        losses_B = losses_B * row_B.to(losses_B.device)
    return losses_B.sum() / total
