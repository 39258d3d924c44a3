"""Cross layers: products of entries of x, so that a network need not learn to multiply."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class CrossLayers(nn.Module):
    """Low-rank cross layers: x_{l+1} = x_0 * (U_l V_l x_l + b_l) + x_l, elementwise products.

    Source: Wang et al., DCN V2, WWW 2021, eq. 2 (the low-rank form, one expert).
    DIFF: U starts at zero, so that the layers are the identity at first.

    Paper: https://arxiv.org/abs/2008.13535

    **Shape** (B, F) -> (B, F).

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

    def forward(self, x_BF: Tensor) -> Tensor:
        crossed_BF = x_BF
        for down_RF, up_FR, bias_F in zip(self.down_LRF, self.up_LFR, self.bias_LF):
            mixed_BF = functional.linear(functional.linear(crossed_BF, down_RF), up_FR, bias_F)
            crossed_BF = crossed_BF + x_BF * mixed_BF
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
