"""Cross-stitch as its paper has it: networks of convolutions, whose maps are mixed after every stage."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from polytask.trunks.convolution import Form, MapTrunk, Stage, averaged, halved
from polytask.trunks.ownership import TaskBlocks
from polytask.trunks.registry import register_trunk
from polytask.trunks.stitches import Stitches, leaning_in_each, stitch
from polytask.trunks.trunk import Explanation


@register_trunk("conv_cross_stitch")
class ConvCrossStitch(MapTrunk):
    """Misra et al., CVPR 2016, eq. 1: after every stage, task t goes on with sum_s alpha_ts maps_s.

    A network of convolutions a task, all of them in grouped convolutions; alpha starts as in
    `CrossStitch`, and `per_channel` gives each channel an alpha of its own, as the paper has it. Of the
    last stage the means over height and width are mixed, which is the same. `hidden` has the channels of the
    stages. Seam: these means (T, B, C) before the last stitch.

    DIFF: those of `CrossStitch`; stages of two convolutions in the place of AlexNet's layers.

    Paper: https://arxiv.org/abs/1604.03539

    **Shape** (B, in_features) -> T of (B, hidden[-1]).

    >>> trunk = ConvCrossStitch(3 * 8 * 8, 2, form=(3, 8, 8), own=0.8)
    >>> trunk.explain(torch.randn(7, 192)).stitches[0].weights_RS
    tensor([[0.8000, 0.2000],
            [0.2000, 0.8000]])
    """

    def __init__(
        self,
        in_features: int,
        num_tasks: int,
        *,
        hidden: Sequence[int] = (16, 32, 64),
        own: float = 0.9,
        per_channel: bool = False,
        form: Form | None = None,
    ) -> None:
        super().__init__(in_features, num_tasks, hidden=hidden, form=form)
        widths = (self.form[0], *hidden[:-1])
        self.networks = nn.ModuleList(
            Stage(below, width, networks=num_tasks) for below, width in zip(widths, hidden)
        )
        start = leaning_in_each(num_tasks, hidden, own=own, per_channel=per_channel)
        self.stitches = Stitches(start)

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        maps_BCHW = self.maps(x_BD)
        maps_TBCHW = maps_BCHW.unsqueeze(0).expand(self.num_tasks, *(-1,) * maps_BCHW.ndim)
        for number, stage in enumerate(self.networks):
            if number:
                maps_TBCHW = stitch(self.stitches.stacked(number - 1), halved(maps_TBCHW))
            _, joined_BKHW = stage(maps_TBCHW.transpose(0, 1).flatten(1, 2))
            maps_TBCHW = torch.unflatten(joined_BKHW, 1, (self.num_tasks, -1)).transpose(0, 1)
        return (averaged(maps_TBCHW),)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        (features_TBH,) = seam
        rows = self.stitches.rows(len(self.networks) - 1)
        return [stitch(row.unsqueeze(0), features_TBH).squeeze(0) for row in rows]

    def task_blocks(self) -> Iterator[tuple[Tensor, TaskBlocks]]:
        for parameter in self.networks.parameters():
            size = len(parameter) // self.num_tasks
            yield parameter, TaskBlocks(0, (size,) * self.num_tasks)
        yield from self.stitches.task_blocks()

    def undecayed(self) -> Iterator[nn.Parameter]:
        """The stitches, as of `CrossStitch`."""
        return self.stitches.parameters()

    def explain(self, x_BD: Tensor) -> Explanation:
        """The stitch of every stage; per channel, its mean over the channels."""
        return Explanation(stitches=self.stitches.explained())
