"""A linear map of x of its own for each task beside a shared trunk, so that no task reads x through others' eyes alone."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from polytask.products import Linear
from polytask.trunks.ownership import PerTask, TaskBlocks
from polytask.trunks.trunk import Explanation, Trunk


class WithShortcuts(Trunk):
    """h_t = F_t(x) + W_t x: a projection shortcut (He et al., CVPR 2016, eq. 2) around any trunk, one a task.

    What a rare task needs of x competes with the dense tasks for the few features of shared layers,
    and their gradients are the larger ones. Its own W_t is reached by its own loss alone.

    DIFF: every W_t begins as 0: at first the trunk does exactly what it did without. There is no ReLU
    after the sum: that of the tower follows.

    Seam: the trunk's, and x where that has not x itself.

    Paper: https://arxiv.org/abs/1512.03385

    **Shape** (B, in_features) -> T of (B, trunk.out_features).

    >>> from polytask.trunks import MMoE
    >>> trunk, x_BD = MMoE(5, 2), torch.randn(7, 5)
    >>> torch.equal(WithShortcuts(trunk, in_features=5)(x_BD)[1], trunk(x_BD)[1])
    True
    """

    def __init__(self, trunk: Trunk, *, in_features: int) -> None:
        super().__init__()
        self.num_tasks, self.out_features = trunk.num_tasks, trunk.out_features
        self.trunk, self.reads_maps = trunk, trunk.reads_maps
        self.reads_x_by_products = trunk.reads_x_by_products
        self.shortcuts = PerTask(
            Linear(in_features, trunk.out_features, bias=False) for _ in range(trunk.num_tasks)
        )
        for weight in self.shortcuts.parameters():
            nn.init.zeros_(weight)
        self.place_of_x = _place_of_x(trunk, in_features)

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        seam = self.trunk.share(x_BD)
        return (*seam, x_BD) if self.place_of_x is None else seam

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        if self.place_of_x is None:
            *rest, x_BD = seam
            features = self.trunk.split(tuple(rest))
        else:
            x_BD, features = seam[self.place_of_x], self.trunk.split(seam)
        return [h_BH + shortcut(x_BD) for h_BH, shortcut in zip(features, self.shortcuts)]

    def input_weights(self) -> Iterable[Tensor]:
        return [*self.trunk.input_weights(), *self.shortcuts.parameters()]

    def task_blocks(self) -> Iterable[tuple[Tensor, TaskBlocks]]:
        return self.trunk.task_blocks()

    def penalty(self) -> Tensor | None:
        return self.trunk.penalty()

    def explain(self, x_BD: Tensor) -> Explanation:
        return self.trunk.explain(x_BD)


@torch.no_grad()
def _place_of_x(trunk: Trunk, in_features: int) -> int | None:
    """Where x itself stands in the trunk's seam; None where it does not, and of a trunk without memory for its weights."""
    reference = next(trunk.parameters(), torch.empty(0))
    if reference.is_meta:
        return None
    x_BD = reference.new_zeros(1, in_features)
    return next((i for i, tensor in enumerate(trunk.share(x_BD)) if tensor is x_BD), None)
