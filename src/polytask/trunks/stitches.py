"""Stitches: how much of each network's features every task goes on with after a layer."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from polytask.trunks.ownership import PerTaskParameters, TaskBlocks
from polytask.trunks.trunk import Stitch


class Stitches(nn.ModuleList):
    """For each layer a parameter for each task's rows: in the last stitch they are their task's alone.

    Built from the start of each layer (T, ...), whose element t is task t's; `stitched_dim` is the
    dimension of such an element that counts what it reads.

    >>> stitches = Stitches([leaning(2, own=0.8)])
    >>> stitch(stitches.stacked(0), torch.tensor([[[1.0]], [[0.0]]])).flatten().tolist()
    [0.800000011920929, 0.20000000298023224]
    """

    def __init__(self, by_layer: Iterable[Tensor], *, stitched_dim: int = 0) -> None:
        super().__init__(PerTaskParameters(row.clone() for row in rows) for rows in by_layer)
        self.stitched_dim = stitched_dim

    def rows(self, layer: int) -> list[Tensor]:
        """Each task's element after a layer, counted from 0."""
        return list(self[layer].parameters())

    def stacked(self, layer: int) -> Tensor:
        """The elements of all tasks, as they were given."""
        return torch.stack(self.rows(layer))

    def task_blocks(self) -> Iterator[tuple[Tensor, TaskBlocks]]:
        """What each element reads, task by task."""
        for layer in range(len(self)):
            rows = self.rows(layer)
            for row in rows:
                size = row.shape[self.stitched_dim] // len(rows)
                yield row, TaskBlocks(self.stitched_dim, (size,) * len(rows))

    def explained(self) -> tuple[Stitch, ...]:
        """Of elements (T,), or (T, H) per channel: those of every layer, the mean over the channels."""
        found = []
        for layer in range(len(self)):
            weights = self.stacked(layer).detach()
            names = tuple(f"task {task}" for task in range(1, len(weights) + 1))
            weights_TT = weights if weights.ndim == 2 else weights.mean(dim=2)
            found.append(Stitch(layer + 1, names, names, weights_TT))
        return tuple(found)


def leaning(num: int, *, own: float) -> Tensor:
    """(num, num), with `own` on the diagonal and rows that sum to one."""
    if num == 1:
        return torch.ones(1, 1)
    others = (1 - own) / (num - 1)
    return torch.full((num, num), others).fill_diagonal_(own)


def leaning_in_each(
    num: int, widths: Iterable[int], *, own: float, per_channel: bool
) -> list[Tensor]:
    """The start of every layer: (num, num), or (num, num, width) with a number for each channel."""
    start_TT = leaning(num, own=own)
    return [
        start_TT.unsqueeze(2).repeat(1, 1, width) if per_channel else start_TT for width in widths
    ]


def stitch(weights: Tensor, hidden_SBH: Tensor) -> Tensor:
    """R mixtures of S: (R, S), or (R, S, H) per channel, and (S, B, H, ...) -> (R, B, H, ...)."""
    weights = weights.to(hidden_SBH.dtype)
    if weights.ndim == 2:
        stitched_RBH: Tensor = torch.tensordot(weights, hidden_SBH, dims=1)
        return stitched_RBH
    by_channel = weights.unsqueeze(2)
    for _ in hidden_SBH.shape[3:]:
        by_channel = by_channel.unsqueeze(-1)
    return (by_channel * hidden_SBH).sum(dim=1)
