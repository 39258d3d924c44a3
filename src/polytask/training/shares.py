"""Several ranks predict a table together: each its share of the pieces, and the first one has them all."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from torch import nn

from polytask.balancing import Ranks
from polytask.streams import Batch
from polytask.training.scoring import Array

Part = TypeVar("Part")


def predicting_ranks(model: nn.Module, ranks: Ranks | None) -> Ranks | None:
    """The ranks that predict alike; None where the first one's model is another than the others'.

    Batch normalisation, which only an encoder of the user's can have, keeps statistics of the rows
    that each rank has seen.
    """
    has_statistics = any(isinstance(m, nn.modules.batchnorm._NormBase) for m in model.modules())
    return None if has_statistics else ranks


def share_of(table: Batch, ranks: Ranks | None, *, piece: int) -> Batch:
    """This rank's rows: whole pieces of `piece` rows, so that each is predicted as by one process.

    >>> import torch
    >>> len(share_of(Batch({"x": torch.zeros(5, 2)}), None, piece=2))
    5
    """
    if ranks is None:
        return table
    pieces = -(-len(table) // piece)
    first, last = (pieces * place // ranks.world for place in (ranks.rank, ranks.rank + 1))
    return table[first * piece : min(last * piece, len(table))]


def collected(mine: Part, ranks: Ranks | None) -> list[Part] | None:
    """The ranks' parts, in the order of their rows, on the first one; None on the others."""
    return [mine] if ranks is None else ranks.collect(mine)


def joined_rows(parts: Sequence[Array]) -> Array:
    """The ranks' rows one after another, which is their order in the table."""
    return np.concatenate(parts)
