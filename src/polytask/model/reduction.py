"""From losses of rows to the loss of a batch: which rows count, and how much."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polytask.streams import Batch


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
