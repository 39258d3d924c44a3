"""Flips, shifts and crops of pictures as functions of numbers drawn by someone else."""

from dataclasses import dataclass

import torch
from torch import Tensor

from polytask.errors import UserError


@dataclass(frozen=True, slots=True)
class Distortions:
    """How the pictures of a training row differ from epoch to epoch.

    `flip`: half of them mirrored, left to right. `shift`: moved by up to so many pixels either way
    and on both axes, with the pixels of the edge repeated. `crop` below 1: a window of a height and
    width of `crop` to 1 times the picture's, at a place of its own, enlarged to the picture's size by nearest pixels.

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
        """The pictures of each row changed by the row's numbers, which are uniform in [0, 1).

        One gather for all three: a pixel is the nearest one at its own place in the picture as it was.
        """
        height, width = pixels_BKHW.shape[2:]
        scale_B1 = self.crop + (1 - self.crop) * draws_BN[:, 3:4]
        ys_BH = self._places(height, draws_BN[:, 1:2], draws_BN[:, 4:5], scale_B1)
        xs_BW = self._places(width, draws_BN[:, 2:3], draws_BN[:, 5:6], scale_B1)
        if self.flip:
            xs_BW = torch.where(draws_BN[:, :1] < 0.5, xs_BW.flip(1), xs_BW)
        places_BHW = ys_BH[:, :, None] * width + xs_BW[:, None, :]
        flat_BKP = pixels_BKHW.flatten(2)
        places_BKP = places_BHW.flatten(1).unsqueeze(1).expand(-1, flat_BKP.shape[1], -1)
        return flat_BKP.gather(2, places_BKP).view_as(pixels_BKHW)

    def _places(self, length: int, shift_B1: Tensor, start_B1: Tensor, scale_B1: Tensor) -> Tensor:
        """Where the pixels of one axis come from: a window enlarged, then moved."""
        moved_B1 = (shift_B1 * (2 * self.shift + 1)).long() - self.shift
        places_BL = (moved_B1 + torch.arange(length)).clamp(0, length - 1)
        if self.crop == 1:
            return places_BL
        start_B1 = start_B1 * (1 - scale_B1) * length
        return (start_B1 + scale_B1 * (places_BL + 0.5)).long().clamp(0, length - 1)
