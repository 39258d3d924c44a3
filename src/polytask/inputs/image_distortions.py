"""Flips, shifts and crops of pictures as functions of numbers drawn by someone else."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from polytask.errors import UserError


@dataclass(frozen=True, slots=True)
class Distortions:
    """How the pictures of a training row differ from epoch to epoch.

    `flip`: half of them mirrored, left to right. `shift`: moved by up to so many pixels either way
    and on both axes, with the pixels of the edge repeated. `crop` below 1: a window of a height and
    width of `crop` to 1 times the picture's, at a place of its own, enlarged to the picture's size.

    >>> picture = torch.tensor([[[[1, 2, 3]]]], dtype=torch.uint8)
    >>> draws = torch.zeros(1, Distortions.NUM_DRAWS)
    >>> Distortions(flip=True).apply(picture, draws).tolist()
    [[[[3, 2, 1]]]]
    >>> Distortions(shift=1).apply(picture, draws).tolist()
    [[[[1, 1, 2]]]]
    """

    flip: bool = False
    shift: int = 0
    crop: float = 1.0

    NUM_DRAWS = 6

    def __post_init__(self) -> None:
        if self.shift < 0:
            raise UserError(f"a shift is 0 pixels or more, but {self.shift=}")
        if not 0 < self.crop <= 1:
            raise UserError(f"a crop is a share of height and width in (0, 1], but {self.crop=}")

    @property
    def any(self) -> bool:
        """Whether anything is changed at all."""
        return self.flip or self.shift > 0 or self.crop < 1

    def apply(self, pixels_BKHW: Tensor, draws_BN: Tensor) -> Tensor:
        """The pictures of each row changed by the row's numbers, which are uniform in [0, 1)."""
        if self.crop < 1:
            pixels_BKHW = _cropped(pixels_BKHW, self.crop, draws_BN[:, 3:6])
        if self.shift:
            pixels_BKHW = _shifted(pixels_BKHW, self.shift, draws_BN[:, 1:3])
        return _flipped(pixels_BKHW, draws_BN[:, 0] < 0.5) if self.flip else pixels_BKHW


def _flipped(pixels_BKHW: Tensor, chosen_B: Tensor) -> Tensor:
    flipped = pixels_BKHW.clone()
    flipped[chosen_B] = pixels_BKHW[chosen_B].flip(-1)
    return flipped


def _shifted(pixels_BKHW: Tensor, most: int, draws_B2: Tensor) -> Tensor:
    """Row b becomes the window of the padded picture that begins at its own place."""
    height, width = pixels_BKHW.shape[2:]
    starts_B2 = (draws_B2 * (2 * most + 1)).long()
    ys_BH = (starts_B2[:, :1] + torch.arange(height) - most).clamp(0, height - 1)
    xs_BW = (starts_B2[:, 1:] + torch.arange(width) - most).clamp(0, width - 1)
    num_channels = pixels_BKHW.shape[1]
    rows = ys_BH[:, None, :, None].expand(-1, num_channels, -1, width)
    columns = xs_BW[:, None, None, :].expand(-1, num_channels, height, -1)
    return pixels_BKHW.gather(2, rows).gather(3, columns)


def _cropped(pixels_BKHW: Tensor, smallest: float, draws_B3: Tensor) -> Tensor:
    draws_B3 = draws_B3.float()
    scale_B = smallest + (1 - smallest) * draws_B3[:, 0]
    places_B2 = (2 * draws_B3[:, 1:] - 1) * (1 - scale_B)[:, None]
    affine_B23 = torch.zeros(len(scale_B), 2, 3)
    affine_B23[:, 0, 0] = affine_B23[:, 1, 1] = scale_B
    affine_B23[:, :, 2] = places_B2
    grid = functional.affine_grid(affine_B23, list(pixels_BKHW.shape), align_corners=False)
    enlarged = functional.grid_sample(
        pixels_BKHW.float(), grid, padding_mode="border", align_corners=False
    )
    return enlarged.round().to(pixels_BKHW.dtype)
