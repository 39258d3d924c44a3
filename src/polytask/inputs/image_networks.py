"""Networks from pixels to features: LeNet, a small ResNet, and backbones of other libraries by name."""

from collections.abc import Callable, Mapping
from importlib import import_module

from torch import Tensor, nn

from polytask.errors import UserError, nearest
from polytask.inputs.image_decoding import Form

PIXELS = "pixels"
"""No network: a trunk that reads maps has its own."""
_SMALLEST_LENET = 16
_STAGES = (16, 32, 64)
_GROUPS = 4
_STEM_SIZE = 32
"""About so many pixels of height and width are left where the stages of the ResNet begin."""


def build_network(name: str, form: Form, width: int | None) -> nn.Module:
    """The network of a name; UserError for an unknown one, and for a picture too small for it.

    **Shape** (B, C, H, W) -> (B, width).

    >>> import torch
    >>> build_network("resnet", Form(32, 32, 3), width=None)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 64])
    """
    library, colon, model = name.partition(":")
    if colon and library in _BACKBONES:
        return _BACKBONES[library](model, form, width or _STAGES[-1])
    if name == PIXELS:
        return nn.Flatten()
    if name not in _OWN:
        known = [*_OWN, PIXELS, *(f"{library}:NAME" for library in _BACKBONES)]
        raise UserError(f"there is no network {name!r} for pictures{nearest(name, known)}")
    return _OWN[name](form, width or DEFAULT_WIDTHS[name])


class LeNet(nn.Sequential):
    """Two convolutions of 5 x 5 with 10 and 20 channels, pooled, and a layer of `width` features.

    The encoder of MultiMNIST (Sener and Koltun, NeurIPS 2018, appendix), after LeCun et al. 1998.
    DIFF: the authors drop half of the channels of the second convolution in training; here none is
    dropped (--dropout is that of trunk and towers).

    **Shape** (B, C, H, W) -> (B, width).

    Paper: https://arxiv.org/abs/1810.04650

    >>> import torch
    >>> LeNet(Form(36, 36, 1), width=50)(torch.zeros(2, 1, 36, 36)).shape
    torch.Size([2, 50])
    """

    def __init__(self, form: Form, width: int) -> None:
        if min(form.height, form.width) < _SMALLEST_LENET:
            raise UserError(
                f"lenet needs pictures of {_SMALLEST_LENET} x {_SMALLEST_LENET} pixels or more, but "
                f"they have {form.height} x {form.width}: take a larger size, or resnet"
            )
        height, width_left = (((side - 4) // 2 - 4) // 2 for side in (form.height, form.width))
        super().__init__(
            nn.Conv2d(form.channels, 10, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(10, 20, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(20 * height * width_left, width),
            nn.ReLU(),
        )


class SmallResNet(nn.Sequential):
    """A residual network for small pictures: 16, 32 and 64 channels, a block each, averaged.

    He et al., CVPR 2016, section 4.2, with n = 1 (ResNet-8). Pictures of 48 pixels and more are
    shrunk to about 32 by the stride of the first convolution.
    DIFF: group normalisation (Wu and He, ECCV 2018) in the place of batch normalisation: a row does
    not depend on the rows beside it, nor on how many processes there are. Where `width` is not 64,
    a linear layer follows.

    **Shape** (B, C, H, W) -> (B, width).

    Paper: https://arxiv.org/abs/1512.03385

    >>> import torch
    >>> SmallResNet(Form(100, 120, 3), width=20)(torch.zeros(2, 3, 100, 120)).shape
    torch.Size([2, 20])
    """

    def __init__(self, form: Form, width: int) -> None:
        stride = max(1, round(min(form.height, form.width) / _STEM_SIZE))
        channels = (_STAGES[0], *_STAGES)
        blocks = [
            ResidualBlock(here, there, stride=1 if number == 0 else 2)
            for number, (here, there) in enumerate(zip(channels, _STAGES))
        ]
        stem = nn.Conv2d(form.channels, _STAGES[0], 2 * stride + 1, stride, stride, bias=False)
        last = [] if width == _STAGES[-1] else [nn.Linear(_STAGES[-1], width)]
        norm = nn.GroupNorm(_GROUPS, _STAGES[0])
        super().__init__(stem, norm, nn.ReLU(), *blocks, Average(), *last)


class ResidualBlock(nn.Module):
    """x + f(x), where f is two normalised convolutions of 3 x 3 (He et al., CVPR 2016, figure 2).

    Where the size changes, x passes a convolution of 1 x 1 (their option B).

    **Shape** (B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride).

    >>> import torch
    >>> ResidualBlock(4, 8, stride=2)(torch.zeros(1, 4, 6, 6)).shape
    torch.Size([1, 8, 3, 3])
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
            nn.GroupNorm(_GROUPS, out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
            nn.GroupNorm(_GROUPS, out_channels),
        )
        is_same = stride == 1 and in_channels == out_channels
        skip = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        self.skip = nn.Identity() if is_same else skip
        self.activate = nn.ReLU()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW: Tensor = self.activate(self.inner(x_BCHW) + self.skip(x_BCHW))
        return y_BCHW


class Average(nn.Module):
    """The mean over height and width.

    **Shape** (B, C, H, W) -> (B, C).
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.mean(dim=(2, 3))


def _torchvision(name: str, form: Form, width: int) -> nn.Module:
    return _colour(form, _backbone("torchvision.models", "get_model", name, num_classes=width))


def _timm(name: str, form: Form, width: int) -> nn.Module:
    return _backbone("timm", "create_model", name, num_classes=width, in_chans=form.channels)


def _backbone(module: str, maker: str, name: str, **options: int) -> nn.Module:
    """A network of another library with fresh weights, whose classifier has `num_classes` outputs."""
    library = module.partition(".")[0]
    try:
        make: Callable[..., nn.Module] = getattr(import_module(module), maker)
    except ImportError as error:
        raise UserError(
            f"the network {library}:{name} is of {library}, which is not installed: pip install {library}"
        ) from error
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"{library} is installed, but cannot be loaded ({error}): it has to be built for this torch"
        ) from error
    try:
        return make(name, **options)
    except (ValueError, RuntimeError, TypeError, KeyError) as error:
        raise UserError(f"{library} makes no network {name!r}: {error}") from error


def _colour(form: Form, network: nn.Module) -> nn.Module:
    return network if form.channels == 3 else nn.Sequential(ThreeChannels(), network)


class ThreeChannels(nn.Module):
    """Grey as a colour.

    **Shape** (B, 1, H, W) -> (B, 3, H, W).
    """

    def forward(self, x_B1HW: Tensor) -> Tensor:
        return x_B1HW.expand(-1, 3, -1, -1)


DEFAULT_WIDTHS: Mapping[str, int] = {"lenet": 50, "resnet": _STAGES[-1]}
_OWN: Mapping[str, Callable[[Form, int], nn.Module]] = {"lenet": LeNet, "resnet": SmallResNet}
_BACKBONES: Mapping[str, Callable[[str, Form, int], nn.Module]] = {
    "torchvision": _torchvision,
    "timm": _timm,
}
