"""MTAN as its paper has it: masks over the maps of a convolutional network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polytask.trunks.convolution import Convolved, Form, StagedTrunk, averaged, halved
from polytask.trunks.ownership import PerTask
from polytask.trunks.registry import register_trunk
from polytask.trunks.trunk import Explanation, Mask


@register_trunk("conv_mtan")
class ConvMTAN(StagedTrunk):
    """Liu, Johns and Davison, CVPR 2019, eqs. 1-2: each task masks every channel and pixel of every stage.

        mask_t^j = sigmoid(W_h ReLU(W_g [u^j; f(a_t^(j-1))])),    a_t^j = mask_t^j * p^j

    u^j and p^j are what the first and the second convolution of shared stage j return, W_g and W_h
    convolutions of 1 x 1, normalised; the first stage's masks read u alone. Task t's tower reads a_t of
    the last stage, averaged over height and width. `hidden` has the channels of the stages. Masks of one
    make it `ConvSharedBottom`. Seam: all u^j and p^j.

    DIFF: f only halves the size. In the paper it also is a convolution that all tasks share, which
    would be shared above the seam; W_g reads whatever a^(j-1) has. Group normalisation in the
    place of BatchNorm, which would make a row depend on its batch. One prediction a picture: the paper has
    decoders, and predicts every pixel.

    Paper: https://arxiv.org/abs/1803.10704

    **Shape** (B, in_features) -> T of (B, hidden[-1]).

    >>> trunk = ConvMTAN(3 * 8 * 8, 2, form=(3, 8, 8))
    >>> [tuple(output.shape) for output in trunk(torch.randn(7, 192))]
    [(7, 64), (7, 64)]
    """

    def __init__(
        self,
        in_features: int,
        num_tasks: int,
        *,
        hidden: Sequence[int] = (16, 32, 64),
        form: Form | None = None,
    ) -> None:
        super().__init__(in_features, num_tasks, hidden=hidden, form=form)
        self.attentions = PerTask(_MapAttention(hidden) for _ in range(num_tasks))

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.passes(x_BD))

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        return [averaged(attention(seam)[-1] * seam[-1]) for attention in self.attentions]

    def explain(self, x_BD: Tensor) -> Explanation:
        """Each mask's mean over height and width, of every channel."""
        seam = self.share(x_BD)
        return Explanation(
            masks=tuple(
                Mask(task, stage, averaged(mask_BCHW))
                for task, attention in enumerate(self.attentions)
                for stage, mask_BCHW in enumerate(attention(seam), start=1)
            )
        )


class _MapAttention(nn.Module):
    """One task's masks: (u^1, p^1, ..., u^L, p^L) -> L of (B, C, H, W), each for its stage's p."""

    def __init__(self, hidden: Sequence[int]) -> None:
        super().__init__()
        below = (0, *hidden[:-1])
        self.masks = nn.ModuleList(
            nn.Sequential(
                Convolved(width + masked, width, kernel=1),
                nn.Conv2d(width, width, 1),
                nn.Sigmoid(),
            )
            for masked, width in zip(below, hidden)
        )

    def forward(self, seam: Sequence[Tensor]) -> list[Tensor]:
        masks: list[Tensor] = []
        for number, mask in enumerate(self.masks):
            reads_BCHW = seam[2 * number]
            if masks:
                masked_BCHW = masks[-1] * seam[2 * number - 1]
                reads_BCHW = torch.cat([reads_BCHW, halved(masked_BCHW)], dim=1)
            masks.append(mask(reads_BCHW))
        return masks
