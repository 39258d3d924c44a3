"""The kernel of Gram matrices, of tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from polytask.kernels.suited import call

_BLOCK, _TILE, _WIDE = 256, 4, 8
"""Entries that are looked at together, vectors that are multiplied together, and doubles side by side."""


def gram(vectors: Sequence[Tensor]) -> Tensor:
    """The inner products (T, T) of float32 vectors without gaps, in float64."""
    num_vectors, length = len(vectors), len(vectors[0])
    count = -(-num_vectors // _TILE) * _TILE
    pointers = [vector.data_ptr() for vector in vectors]
    found = torch.empty(count, count, dtype=torch.float64)
    room = torch.empty(count * (_BLOCK + count * _WIDE), dtype=torch.float64)
    starts = torch.tensor([*pointers, *[0] * (count - num_vectors)])
    call("gram", count, length, starts, found, room)
    return found[:num_vectors, :num_vectors]
