"""The order of rows of an epoch."""

import numpy as np
import torch
from torch import Tensor

from polytask.errors import UserError


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
