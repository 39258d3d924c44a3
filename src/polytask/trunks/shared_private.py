"""A network for all tasks beside one for each: what is shared and what is private, side by side."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from polytask.trunks.blocks import first_weights, mlp
from polytask.trunks.ownership import PerTask
from polytask.trunks.registry import register_trunk
from polytask.trunks.trunk import Trunk, require_counts


@register_trunk("shared_private")
class SharedPrivate(Trunk):
    """Each task reads [shared network of x; own network of x] (Liu, Qiu and Huang, ACL 2017, eq. 5 and 6).

    The first `num_shared_features` features are the same for every task: what an adversary reads, so that they
    tell no domain, and what `orthogonality` keeps apart from the rest. Seam: x and the shared
    network's output.

    `private_hidden` are the widths of the tasks' own networks, those of `hidden` if absent.

    Paper: https://aclanthology.org/P17-1001

    **Shape** (B, in_features) -> T of (B, hidden[-1] + private_hidden[-1]).

    >>> trunk = SharedPrivate(5, 2, hidden=(8, 4), private_hidden=(3,))
    >>> first, second = trunk(torch.randn(7, 5))
    >>> tuple(first.shape), torch.equal(first[:, :4], second[:, :4])
    ((7, 7), True)
    """

    def __init__(
        self,
        in_features: int,
        num_tasks: int,
        *,
        hidden: Sequence[int] = (128, 64),
        private_hidden: Sequence[int] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_counts(in_features=in_features, num_tasks=num_tasks)
        private = hidden if private_hidden is None else private_hidden
        if not hidden or not private:
            raise ValueError(f"both networks need a layer, but {hidden=}, {private_hidden=}")
        self.num_tasks, self.num_shared_features = num_tasks, hidden[-1]
        self.out_features = hidden[-1] + private[-1]
        self.bottom = mlp(in_features, hidden, dropout=dropout)
        self.bottoms = PerTask(mlp(in_features, private, dropout=dropout) for _ in range(num_tasks))

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return x_BD, self.bottom(x_BD)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        x_BD, z_BH = seam
        return [torch.cat([z_BH, bottom(x_BD)], dim=1) for bottom in self.bottoms]

    def input_weights(self) -> Iterable[Tensor]:
        return [*first_weights([self.bottom]), *first_weights(self.bottoms)]
