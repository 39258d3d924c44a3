"""Embeddings whose gradients are cheap: dense ones on a CPU, and those of single rows."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional


def embedding(rows_BC: Tensor, weight_VK: Tensor) -> Tensor:
    """`torch.nn.functional.embedding`, bit for bit, with a gradient of a third of the time.

    **Shape** rows (B, C), each in [0, V), and weights (V, K) -> (B, C, K).
    """
    if weight_VK.device.type != "cpu" or weight_VK.dtype not in (torch.float32, torch.float64):
        return functional.embedding(rows_BC, weight_VK)
    found_BCK: Tensor = _Embedding.apply(rows_BC, weight_VK)  # type: ignore[no-untyped-call]
    return found_BCK


def embedding_of_rows(weight_VK: Tensor, rows_U: Tensor, places_BC: Tensor) -> Tensor:
    """`torch.nn.functional.embedding` with a gradient of the rows that occur: sparse, each row once.

    `rows_U, places_BC = torch.unique(rows_BC, return_inverse=True)` of the rows to look up.

    **Shape** weights (V, K), rows (U,) in [0, V), places (B, C) in [0, U) -> (B, C, K).
    """
    vectors_BCK: Tensor = _RowsEmbedding.apply(weight_VK, rows_U, places_BC)  # type: ignore[no-untyped-call]
    return vectors_BCK


class _Context(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]
    shape: torch.Size


class _Embedding(torch.autograd.Function):
    """The gradient by one sum over all places, in their order."""

    @staticmethod
    def forward(ctx: _Context, rows_BC: Tensor, weight_VK: Tensor) -> Tensor:
        ctx.save_for_backward(rows_BC)
        ctx.shape = weight_VK.shape
        return functional.embedding(rows_BC, weight_VK)

    @staticmethod
    def backward(ctx: _Context, gradient_BCK: Tensor) -> tuple[None, Tensor]:
        (rows_BC,) = ctx.saved_tensors
        total_VK = gradient_BCK.new_zeros(ctx.shape)
        values_NK = gradient_BCK.reshape(-1, ctx.shape[1])
        return None, total_VK.index_add_(0, rows_BC.flatten(), values_NK)


class _RowsEmbedding(torch.autograd.Function):
    """The gradient as sums over the places at which each row was read."""

    @staticmethod
    def forward(ctx: _Context, weight_VK: Tensor, rows_U: Tensor, places_BC: Tensor) -> Tensor:
        ctx.save_for_backward(rows_U, places_BC)
        ctx.shape = weight_VK.shape
        return functional.embedding(places_BC, weight_VK[rows_U])

    @staticmethod
    def backward(ctx: _Context, gradient_BCK: Tensor) -> tuple[Tensor, None, None]:
        rows_U, places_BC = ctx.saved_tensors
        width = ctx.shape[1]
        total_UK = gradient_BCK.new_zeros(len(rows_U), width)
        total_UK.index_add_(0, places_BC.flatten(), gradient_BCK.reshape(-1, width))
        total = torch.sparse_coo_tensor(
            rows_U[None], total_UK, ctx.shape, check_invariants=False, is_coalesced=True
        )
        return total, None, None
