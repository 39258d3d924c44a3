"""Lists of different lengths as one padded tensor, and the part of it that a batch needs."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PADDING = 0
"""The id of a place that no entry has."""


def padded(
    ids_N: NDArray[np.int64], lengths_B: NDArray[np.int64], longest: int, *, keep_last: bool = False
) -> NDArray[np.int32]:
    """The entries of all rows, one row after another, as (B, longest); zeros fill a row's end.

    Of a row that is longer its first entries are kept, or its last ones.

    >>> padded(np.array([7, 8, 9, 5]), np.array([3, 0, 1]), 2, keep_last=True).tolist()
    [[8, 9], [0, 0], [5, 0]]
    """
    places_N = np.arange(len(ids_N)) - np.repeat(np.cumsum(lengths_B) - lengths_B, lengths_B)
    if keep_last:
        places_N -= np.repeat(np.maximum(lengths_B - longest, 0), lengths_B)
    rows_N = np.repeat(np.arange(len(lengths_B)), lengths_B)
    kept_N = (places_N >= 0) & (places_N < longest)
    padded_BL = np.full((len(lengths_B), longest), PADDING, dtype=np.int32)
    padded_BL[rows_N[kept_N], places_N[kept_N]] = ids_N[kept_N]
    return padded_BL


def lengths_of(ids: Tensor) -> Tensor:
    """How many entries each row has.

    **Shape** (..., L) -> (...).

    >>> lengths_of(torch.tensor([[4, 2, 0], [0, 0, 0]])).tolist()
    [2, 0]
    """
    return (ids != PADDING).sum(dim=-1)


def cut(ids_BL: Tensor) -> Tensor:
    """The ids as far as the batch's longest row goes, one place at least; entries stand first.

    An exported model keeps all places, for there the shape may not hang on values.

    **Shape** (B, L) -> (B, at most L).

    >>> cut(torch.tensor([[4, 2, 0], [0, 0, 0]])).tolist()
    [[4, 2], [0, 0]]
    """
    if torch.compiler.is_compiling():
        return ids_BL
    num_places = int((ids_BL != PADDING).any(dim=0).sum())
    return ids_BL[:, : max(num_places, 1)]


def padding_share(lengths_B: Tensor, order_B: Tensor, batch_size: int) -> float:
    """The share of padding among the places of an epoch's batches, each as long as its longest row.

    >>> lengths_B = torch.tensor([1, 5, 1, 5])
    >>> padding_share(lengths_B, torch.arange(4), batch_size=2)
    0.4
    """
    batches = torch.split(lengths_B[order_B], batch_size)
    places = sum(len(batch_B) * max(int(batch_B.max()), 1) for batch_B in batches)
    return 1 - int(lengths_B.sum()) / max(places, 1)
