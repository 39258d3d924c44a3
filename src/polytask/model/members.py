"""Several networks in one: members that share all weights but a scale of each input and their heads."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from polytask.task import Task


class Members(nn.Module):
    """K copies of each row of x, each scaled by a vector of its own member.

    All that follows up to the heads is shared by the members, and reads K rows for one. The members
    are trained on their own losses, and their outputs are averaged: an ensemble at the cost of a
    wider batch, whose shared weights keep it from overfitting.

    Source: Gorishniy, Kotelnikov and Babenko, TabM, ICLR 2025 (TabM-mini: of the adapters of an
    ensemble only the first, on the inputs, is kept), drawn from a normal distribution.
    DIFF: one adapter for all experts and gates, and outputs are averaged before the link (logits, not
    probabilities), so that a task's output stays one vector a row.

    Paper: https://arxiv.org/abs/2410.24210

    **Shape** (B, D) -> (B * K, D), the members of a row side by side.

    >>> members = Members(3, in_features=4)
    >>> members(torch.ones(2, 4)).shape
    torch.Size([6, 4])
    >>> members.average(torch.tensor([[1.0], [2.0], [6.0]]))
    tensor([[3.]])
    """

    def __init__(self, num_members: int, *, in_features: int) -> None:
        super().__init__()
        self.num_members = num_members
        self.scales = nn.Parameter(torch.empty(num_members, in_features))
        nn.init.normal_(self.scales)

    def forward(self, x_BD: Tensor) -> Tensor:
        return (x_BD.unsqueeze(1) * self.scales).flatten(0, 1)

    def average(self, rows_NH: Tensor) -> Tensor:
        """(B * K, ...) -> (B, ...)."""
        return rows_NH.view(-1, self.num_members, *rows_NH.shape[1:]).mean(dim=1)

    def undecayed(self) -> Iterable[nn.Parameter]:
        """Scales are near one in size, not near zero."""
        return [self.scales]


class MemberHeads(nn.Module):
    """One linear map for each of K members.

    **Shape** (B * K, in_features) -> (B * K, out_features).

    >>> MemberHeads([nn.Linear(5, 2) for _ in range(3)])(torch.ones(6, 5)).shape
    torch.Size([6, 2])
    """

    def __init__(self, heads: Iterable[nn.Linear]) -> None:
        super().__init__()
        drawn = list(heads)
        first = drawn[0]
        self.weight = nn.Parameter(torch.empty(len(drawn), *first.weight.shape))
        self.bias = nn.Parameter(torch.empty(len(drawn), *first.bias.shape))
        with torch.no_grad():
            for k, head in enumerate(drawn):
                self.weight[k].copy_(head.weight)
                self.bias[k].copy_(head.bias)

    def forward(self, h_NH: Tensor) -> Tensor:
        h_BKH = h_NH.view(-1, len(self.weight), h_NH.shape[-1])
        outputs_BKO = torch.einsum("bkh,koh->bko", h_BKH, self.weight) + self.bias
        return outputs_BKO.flatten(0, 1)

    def undecayed(self) -> Iterable[nn.Parameter]:
        """The biases (K, O), which are no vectors."""
        return [self.bias]


def head_of(width: int, task: Task, *, num_members: int = 1) -> nn.Module:
    """A linear map, or one for each member, that starts at the mean of the training labels."""
    heads = [_linear(width, task) for _ in range(num_members)]
    return heads[0] if num_members == 1 else MemberHeads(heads)


def _linear(width: int, task: Task) -> nn.Linear:
    head = nn.Linear(width, task.kind.num_outputs)
    # A model that is only tried out has no memory, but its kinds calculate: torch's arithmetic without
    # memory would import its compiler.
    with torch.no_grad(), torch.device("cpu"):
        head.bias.copy_(task.kind.initial_bias())
    return head
