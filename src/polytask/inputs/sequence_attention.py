"""The entries of a list weighed by how they go with one item."""

import torch
from torch import Tensor, nn


class TargetAttention(nn.Module):
    """Zhou et al., KDD 2018 (DIN), eq. 3: the sum of a(e_j, v) e_j over a row's entries e_j, for the item v.

    a is a perceptron on both and on how they differ; its weights are not normalised, so that a long
    list of what goes with the item counts more than a short one.
    DIFF: their product by coordinate in the place of the outer one, and PReLU in that of Dice; the
    weights begin near 1, so that training begins with the plain sum.

    Paper: https://arxiv.org/abs/1706.06978

    **Shape** (B, L, K), (B, L), (B, K) -> (B, K).

    >>> attention = TargetAttention(8)
    >>> attention(torch.ones(2, 3, 8), torch.ones(2, 3, dtype=torch.bool), torch.ones(2, 8)).shape
    torch.Size([2, 8])
    """

    def __init__(self, in_features: int, *, hidden: int = 32) -> None:
        super().__init__()
        self.out_features = in_features
        last = nn.Linear(hidden, 1)
        nn.init.ones_(last.bias)
        self.unit = nn.Sequential(nn.Linear(4 * in_features, hidden), nn.PReLU(), last)

    def forward(self, x_BLK: Tensor, is_entry_BL: Tensor, item_BK: Tensor) -> Tensor:
        item_BLK = item_BK.unsqueeze(1).expand_as(x_BLK)
        both = torch.cat([x_BLK, item_BLK, x_BLK - item_BLK, x_BLK * item_BLK], dim=-1)
        weight_BL = self.unit(both).squeeze(-1) * is_entry_BL
        return torch.bmm(weight_BL.unsqueeze(1), x_BLK).squeeze(1)
