"""Trunks whose tasks attend to features of one shared network."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from polytask.trunks.blocks import first_weights, mlp
from polytask.trunks.ownership import PerTask
from polytask.trunks.registry import register_trunk
from polytask.trunks.trunk import Explanation, Mask, Trunk, require_counts


@register_trunk("mtan")
class MTAN(Trunk):
    """Liu, Johns and Davison, CVPR 2019, eqs. 1-2: each task masks the features of every layer.

        mask_t^j = sigmoid(W_h ReLU(W_g [u^j; a_t^(j-1)])),    a_t^j = mask_t^j * p^j

    p^j is the output of shared layer j, u^j its input (x for the first layer, whose masks read
    u alone), a_t^L what task t's tower reads. `mask_hidden` is the width of the ReLU inside a mask
    (None: that of the layer). Masks of one make it `SharedBottom`. Seam: x and all p^j.

    DIFF: the dense form. A block is one layer, so u^j = p^(j-1); 1 x 1 convolutions are linear maps;
    no BatchNorm, which would make a row depend on its batch; no f, the convolution shared by tasks
    that brings a^(j-1) to the size of block j: W_g reads a vector of any width, and f would be
    shared above the seam.

    Paper: https://arxiv.org/abs/1803.10704

    **Shape** (B, in_features) -> T of (B, hidden[-1]).

    >>> import torch
    >>> trunk = MTAN(5, 2, hidden=(16, 8))
    >>> [tuple(output.shape) for output in trunk(torch.randn(7, 5))]
    [(7, 8), (7, 8)]
    >>> mask = trunk.explain(torch.randn(7, 5)).masks[0]
    >>> mask.task, mask.layer, tuple(mask.values_BH.shape)
    (0, 1, (7, 16))
    """

    def __init__(
        self,
        in_features: int,
        num_tasks: int,
        *,
        hidden: Sequence[int] = (128, 64),
        mask_hidden: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_counts(in_features=in_features, num_tasks=num_tasks, layers=len(hidden))
        if mask_hidden is not None:
            require_counts(mask_hidden=mask_hidden)
        self.num_tasks = num_tasks
        self.out_features = hidden[-1]
        inputs = (in_features, *hidden[:-1])
        self.layers = nn.ModuleList(mlp(i, (o,), dropout=dropout) for i, o in zip(inputs, hidden))
        self.attentions = PerTask(
            _Attention(in_features, hidden, mask_hidden=mask_hidden) for _ in range(num_tasks)
        )

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        seam = [x_BD]
        for layer in self.layers:
            seam.append(layer(seam[-1]))
        return tuple(seam)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        return [attention(seam)[-1] * seam[-1] for attention in self.attentions]

    def input_weights(self) -> Iterable[Tensor]:
        return first_weights([self.layers, *self.attentions])

    def explain(self, x_BD: Tensor) -> Explanation:
        seam = self.share(x_BD)
        return Explanation(
            masks=tuple(
                Mask(task, layer, mask_BH)
                for task, attention in enumerate(self.attentions)
                for layer, mask_BH in enumerate(attention(seam), start=1)
            )
        )


class _Attention(nn.Module):
    """One task's masks: (x, p^1, ..., p^L) -> L of (B, H), each for the layer's p."""

    def __init__(self, in_features: int, hidden: Sequence[int], *, mask_hidden: int | None) -> None:
        super().__init__()
        reads = (in_features, *(2 * width for width in hidden[:-1]))
        self.masks = nn.ModuleList(
            nn.Sequential(
                *mlp(read, (mask_hidden or width,)),
                nn.Linear(mask_hidden or width, width),
                nn.Sigmoid(),
            )
            for read, width in zip(reads, hidden)
        )

    def forward(self, seam: Sequence[Tensor]) -> list[Tensor]:
        masks: list[Tensor] = []
        for layer, mask in enumerate(self.masks):
            u_BH = seam[layer]
            masks.append(mask(torch.cat([u_BH, masks[-1] * u_BH], dim=1) if masks else u_BH))
        return masks
