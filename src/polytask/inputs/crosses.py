"""Cross layers: products of entries of x, so that a network need not learn to multiply."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from polytask.products import differentiable, linear, product, suits_passes, weight_gradient


class CrossLayers(nn.Module):
    """Low-rank cross layers: x_{l+1} = x_0 * (U_l V_l x_l + b_l) + x_l, elementwise products.

    Source: Wang et al., DCN V2, WWW 2021, eq. 2 (the low-rank form, one expert).
    DIFF: U starts at zero, so that the layers are the identity at first.

    Paper: https://arxiv.org/abs/2008.13535

    **Shape** (B, F) -> (B, F + num_zeros).

    >>> import torch
    >>> CrossLayers(3, num_layers=2, rank=1)(torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    def __init__(self, num_features: int, *, num_layers: int, rank: int) -> None:
        super().__init__()
        rank = min(rank, num_features)
        self.down_LRF = nn.Parameter(torch.empty(num_layers, rank, num_features))
        self.up_LFR = nn.Parameter(torch.zeros(num_layers, num_features, rank))
        self.bias_LF = nn.Parameter(torch.zeros(num_layers, num_features))
        nn.init.uniform_(self.down_LRF, -(num_features**-0.5), num_features**-0.5)

    def forward(self, x_BF: Tensor, num_zeros: int = 0) -> Tensor:
        """The crossed entries, with as many zeros at their end."""
        layers = (self.down_LRF, self.up_LFR, self.bias_LF)
        if not suits_passes(x_BF, *layers):
            return functional.pad(_crossed(x_BF, *layers), (0, num_zeros))
        crossed_BF: Tensor = _Crossing.apply(num_zeros, x_BF, *layers)  # type: ignore[no-untyped-call]
        return crossed_BF

    def undecayed(self) -> Iterable[nn.Parameter]:
        """The biases (L, F), which are no vectors."""
        return [self.bias_LF]

    @torch.no_grad()
    def inherit(self, source: "CrossLayers", ours: Sequence[int], theirs: Sequence[int]) -> int:
        """Copy what belongs to the entries `ours`, at `theirs` in the source; the entries copied.

        Layers of another number or rank have nothing in common.
        """
        if self.down_LRF.shape[:2] != source.down_LRF.shape[:2]:
            return 0
        device = self.bias_LF.device
        self.down_LRF[..., ours] = source.down_LRF[..., theirs].to(device)
        self.up_LFR[:, ours] = source.up_LFR[:, theirs].to(device)
        self.bias_LF[:, ours] = source.bias_LF[:, theirs].to(device)
        return len(ours) * len(self.bias_LF)


def _crossed(x_BF: Tensor, down_LRF: Tensor, up_LFR: Tensor, bias_LF: Tensor) -> Tensor:
    crossed_BF = x_BF
    for down_RF, up_FR, bias_F in zip(down_LRF, up_LFR, bias_LF):
        mixed_BF = linear(linear(crossed_BF, down_RF), up_FR, bias_F)
        crossed_BF = torch.addcmul(crossed_BF, x_BF, mixed_BF)
    return crossed_BF


class _CrossingContext(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]
    num_layers: int


class _Crossing(torch.autograd.Function):
    """All layers as one node: autograd keeps and reads twice as many tensors of the size of x."""

    @staticmethod
    def forward(
        ctx: _CrossingContext,
        num_zeros: int,
        x_BF: Tensor,
        down_LRF: Tensor,
        up_LFR: Tensor,
        bias_LF: Tensor,
    ) -> Tensor:
        entered, narrow, mixed = [x_BF], [], []
        for down_RF, up_FR, bias_F in zip(down_LRF, up_LFR, bias_LF):
            narrow.append(product(entered[-1], down_RF))
            mixed.append(product(narrow[-1], up_FR, bias_F))
            is_last = len(narrow) == len(down_LRF)
            fresh_BF = x_BF.new_empty(x_BF.shape[0], x_BF.shape[1] + num_zeros * is_last)
            found_BF = fresh_BF[:, : x_BF.shape[1]]
            entered.append(torch.addcmul(entered[-1], x_BF, mixed[-1], out=found_BF))
        fresh_BF[:, x_BF.shape[1] :] = 0
        ctx.num_layers = len(narrow)
        ctx.save_for_backward(x_BF, down_LRF, up_LFR, bias_LF, *entered[1:-1], *narrow, *mixed)
        return fresh_BF

    @staticmethod
    def backward(ctx: _CrossingContext, gradient_BF: Tensor) -> tuple[Tensor | None, ...]:
        x_BF, down_LRF, up_LFR, bias_LF, *kept = ctx.saved_tensors
        gradient_BF = gradient_BF[:, : x_BF.shape[1]]
        if torch.is_grad_enabled():
            inputs = (x_BF, down_LRF, up_LFR, bias_LF)
            return None, *differentiable(_crossed, inputs, gradient_BF)
        entered = [x_BF, *kept[: ctx.num_layers - 1]]
        narrow, mixed = kept[ctx.num_layers - 1 :][: ctx.num_layers], kept[-ctx.num_layers :]
        found = [torch.empty_like(each) for each in (down_LRF, up_LFR, bias_LF)]
        x_gradient_BF = gradient_BF * mixed[-1]
        for layer in reversed(range(ctx.num_layers)):
            if layer < ctx.num_layers - 1:
                x_gradient_BF.addcmul_(gradient_BF, mixed[layer])
            mixed_gradient_BF = gradient_BF * x_BF
            narrow_gradient_BR = product(mixed_gradient_BF, up_LFR[layer].t())
            found[0][layer] = weight_gradient(narrow_gradient_BR, entered[layer])
            found[1][layer] = weight_gradient(mixed_gradient_BF, narrow[layer])
            torch.sum(mixed_gradient_BF, dim=0, out=found[2][layer])
            gradient_BF = product(narrow_gradient_BR, down_LRF[layer].t()).add_(gradient_BF)
        return None, x_gradient_BF.add_(gradient_BF), *found
