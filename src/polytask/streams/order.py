"""The order of rows of an epoch."""

import numpy as np
import torch
from torch import Tensor

from polytask.errors import UserError

_WINDOW = 50
"""Batches whose rows are sorted together: enough of each length, and far from a sorted epoch."""


def epoch_order(num_rows: int, *, seed: int, epoch: int) -> Tensor:
    """The order of rows of one epoch (int64): a permutation, a function of (seed, epoch) alone.

    >>> epoch_order(8, seed=3, epoch=5).tolist()
    [3, 4, 2, 5, 1, 6, 7, 0]
    """
    if seed < 0 or epoch < 0:
        raise UserError(f"seed and epoch must not be negative, but {seed=} and {epoch=}")
    mixed = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(mixed) >> 1)
    return torch.randperm(num_rows, generator=generator)


def order_by_length(
    lengths_B: Tensor, batch_size: int, *, seed: int, epoch: int, window: int = _WINDOW
) -> Tensor:
    """The order of one epoch in which the rows of a batch are of like length.

    A function of (seed, epoch) alone: the rows are shuffled, sorted by length within windows of
    `window` batches, and the batches are shuffled. The last batch, which may be shorter, is of any rows.

    >>> lengths_B = torch.tensor([5, 1, 5, 1, 5, 1, 9])
    >>> order_by_length(lengths_B, 3, seed=0, epoch=0).tolist()
    [0, 4, 2, 1, 5, 3, 6]
    """
    order_B = epoch_order(len(lengths_B), seed=seed, epoch=epoch)
    num_full = len(order_B) // batch_size
    # As Python's sort, stable: rows of one length stay in the order of the shuffle.
    sorted_windows = [
        rows_W[lengths_B[rows_W].argsort(stable=True)]
        for rows_W in torch.split(order_B[: num_full * batch_size], window * batch_size)
    ]
    full_NB = torch.cat([*sorted_windows, order_B[:0]]).view(num_full, batch_size)
    shuffled = full_NB[epoch_order(num_full, seed=seed, epoch=epoch)]
    return torch.cat([shuffled.flatten(), order_B[num_full * batch_size :]])
