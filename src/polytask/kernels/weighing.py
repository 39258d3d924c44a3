"""The kernels of sums over tasks' gradients, of float32 vectors without gaps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from polytask.kernels.suited import call


def weighted(vectors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """sum_t w_t g_t, of the first one's shape."""
    total = torch.empty_like(vectors[0])
    weights_T = torch.tensor(weights, dtype=torch.float32)
    call("weighted", len(vectors), total.numel(), _pointers(vectors), weights_T, total)
    return total


def one_sign(vectors: Sequence[Tensor], uniform_P: Tensor, leak_T: Tensor) -> Tensor:
    """Of each coordinate the gradients of one sign, as `grad_drop` of polytask.balancing.coordinate."""
    kept_P = torch.empty_like(uniform_P)
    arguments = (_pointers(vectors), uniform_P, leak_T.contiguous(), kept_P)
    call("one_sign", len(vectors), len(uniform_P), *arguments)
    return kept_P


def _pointers(vectors: Sequence[Tensor]) -> Tensor:
    return torch.tensor([vector.data_ptr() for vector in vectors])
