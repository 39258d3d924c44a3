"""Stages of convolutions for trunks that read maps, and the trunk that shares all of them."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.trunks.registry import register_trunk
from polytask.trunks.trunk import Trunk, require_counts

Form = tuple[int, int, int]
"""Channels, height and width."""

_GROUPS = 4


class Convolved(nn.Sequential):
    """A convolution without a bias, normalised in groups of channels of a row, and ReLU.

    Group normalisation (Wu and He, ECCV 2018): a row does not depend on the rows beside it. With
    `networks` of more than 1 the channels are those of as many networks, which do not meet.

    Paper: https://arxiv.org/abs/1803.08494

    **Shape** (B, networks * in_channels, H, W) -> (B, networks * out_channels, H, W).

    >>> import torch
    >>> Convolved(3, 8)(torch.randn(2, 3, 6, 6)).shape
    torch.Size([2, 8, 6, 6])
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int = 3, networks: int = 1
    ) -> None:
        widths = networks * in_channels, networks * out_channels
        convolution = nn.Conv2d(*widths, kernel, padding=kernel // 2, groups=networks, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        norm = nn.GroupNorm(networks * _groups(out_channels), widths[1])
        super().__init__(convolution, norm, nn.ReLU())


def _groups(channels: int) -> int:
    """Of two channels or more: the one number of a group of one, on a map of one pixel, is its mean."""
    groups = math.gcd(_GROUPS, channels)
    return groups if groups < channels else max(1, channels // 2)


class Stage(nn.Module):
    """Two convolutions of 3 x 3: u, then p of it, of one size.

    **Shape** (B, networks * in_channels, H, W) -> twice (B, networks * out_channels, H, W).

    >>> import torch
    >>> [tuple(maps.shape) for maps in Stage(3, 8)(torch.randn(2, 3, 6, 6))]
    [(2, 8, 6, 6), (2, 8, 6, 6)]
    """

    def __init__(self, in_channels: int, out_channels: int, *, networks: int = 1) -> None:
        super().__init__()
        self.first = Convolved(in_channels, out_channels, networks=networks)
        self.second = Convolved(out_channels, out_channels, networks=networks)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        u_BCHW: Tensor = self.first(x_BCHW)
        return u_BCHW, self.second(u_BCHW)


class MapTrunk(Trunk):
    """A trunk that reads the first entries of x as maps of `form`: channels, height, width.

    Without a `form` each entry of x is a channel of one pixel. The width of features is `hidden[-1]`,
    the channels of the last stage, averaged over height and width.
    """

    reads_maps = True

    def __init__(
        self, in_features: int, num_tasks: int, *, hidden: Sequence[int], form: Form | None
    ) -> None:
        super().__init__()
        require_counts(in_features=in_features, num_tasks=num_tasks, stages=len(hidden))
        self.form: Form = form or (in_features, 1, 1)
        if math.prod(self.form) > in_features:
            raise ValueError(f"maps of {self.form} have more numbers than {in_features=}")
        self.num_tasks, self.out_features = num_tasks, hidden[-1]

    def maps(self, x_BD: Tensor) -> Tensor:
        """(B, D) -> (B, C, H, W)."""
        return torch.unflatten(x_BD[:, : math.prod(self.form)], 1, self.form)

    def input_weights(self) -> Iterable[Tensor]:
        """None: a kernel meets every place of a map."""
        return ()


class StagedTrunk(MapTrunk):
    """A trunk over one network for all tasks: a stage of each number of channels, halved in size between."""

    def __init__(
        self,
        in_features: int,
        num_tasks: int,
        *,
        hidden: Sequence[int] = (16, 32, 64),
        form: Form | None = None,
    ) -> None:
        super().__init__(in_features, num_tasks, hidden=hidden, form=form)
        widths = (self.form[0], *hidden[:-1])
        self.stages = nn.ModuleList(Stage(below, width) for below, width in zip(widths, hidden))

    def passes(self, x_BD: Tensor) -> list[Tensor]:
        """What both convolutions of every stage return: u^1, p^1, u^2, p^2 and so on."""
        found: list[Tensor] = []
        for stage in self.stages:
            found += stage(halved(found[-1]) if found else self.maps(x_BD))
        return found


@register_trunk("conv_shared_bottom")
class ConvSharedBottom(StagedTrunk):
    """Stages of convolutions for all tasks (Caruana, ML 1997), halved in size between; `hidden`: their channels.

    The network that `ConvMTAN` and `ConvCrossStitch` share in their ways. Seam: the mean of the last
    stage over height and width.

    Paper: https://doi.org/10.1023/A:1007379606734

    **Shape** (B, in_features) -> T of (B, hidden[-1]).

    >>> import torch
    >>> trunk = ConvSharedBottom(3 * 8 * 8, 2, form=(3, 8, 8))
    >>> [tuple(output.shape) for output in trunk(torch.randn(7, 192))]
    [(7, 64), (7, 64)]
    """

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (averaged(self.passes(x_BD)[-1]),)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        (z_BH,) = seam
        return [z_BH] * self.num_tasks


def halved(maps: Tensor) -> Tensor:
    """The largest of every 2 x 2 pixels; a side of one pixel stays.

    **Shape** (..., C, H, W) -> (..., C, ceil(H / 2), ceil(W / 2)).
    """
    if maps.ndim == 4:
        return functional.max_pool2d(maps, 2, ceil_mode=True)
    # Not unflatten by the sizes, which would freeze the batch's size in an exported model.
    return torch.stack([halved(each) for each in maps])


def averaged(maps: Tensor) -> Tensor:
    """The mean over height and width.

    **Shape** (..., C, H, W) -> (..., C).
    """
    return maps.mean(dim=(-2, -1))
