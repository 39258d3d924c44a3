"""From losses of rows to the loss of a batch: which rows count, and how much."""

from collections.abc import Sequence
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


def labelled_rows(name: str, batch: Batch) -> Tensor | None:
    """A task's row weights, 0 where it has no label; None where all rows have one and weigh alike.

    >>> batch = Batch({"x": torch.zeros(2)}, {"click": torch.tensor([1.0, torch.nan])})
    >>> labelled_rows("click", batch)
    tensor([1., 0.])
    """
    if name not in batch.labels:
        return torch.zeros(len(batch))
    labels = batch.labels[name]
    weights_B = batch.weights.get(name)
    if not labels.is_floating_point():
        return weights_B
    missing_B = labels.isnan() if labels.ndim == 1 else labels.isnan().flatten(1).any(dim=1)
    if not missing_B.any():
        return weights_B
    present_B = (~missing_B).to(torch.float32)
    return present_B if weights_B is None else present_B * weights_B


def reduce(losses_B: Tensor, row_B: Tensor | None, total: float) -> Tensor:
    """The weighted sum of the rows' losses over `total`; their mean where all count alike."""
    if row_B is not None:
        losses_B = losses_B * row_B.to(losses_B.device)
    return losses_B.sum() / total
