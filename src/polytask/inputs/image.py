"""Pictures: bytes or paths of JPEG and PNG files, or arrays; a convolutional network reads them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from polytask.errors import UserError
from polytask.inputs.image_columns import BadRowsError, decode, forms
from polytask.inputs.image_decoding import Form, require_pillow
from polytask.inputs.image_distortions import Distortions
from polytask.inputs.image_networks import DEFAULT_WIDTHS, PIXELS, build_network
from polytask.inputs.input import Feature, Input

_MOST_MEASURED = 4_000
"""The mean and the deviation of pixels are taken from so many rows, spread evenly over the table."""
_SMALLEST_DEVIATION = 1.0


@dataclass(frozen=True)
class Image(Input):
    """Columns of pictures, all of one size, as bytes (B, columns * channels, H, W).

    A pixel enters the network less its channel's mean over the training rows, in units of its
    deviation; a missing picture is one of the mean colour. Each column has a network of its own,
    unless it `is_shared`.

    >>> grey = pa.array([[[0, 50], [100, 150]], None])
    >>> image = Image.fit(pa.table({"photo": grey}), ["photo"])
    >>> image.encode(pa.table({"photo": grey})).tolist()
    [[[[0, 50], [100, 150]]], [[[75, 75], [75, 75]]]]
    """

    form: Form
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    network: str
    width: int
    is_shared: bool
    distortions: Distortions

    def __post_init__(self) -> None:
        due = len(self.columns) * self.form.channels
        if len(self.means) != due or len(self.deviations) != due or self.width < 1:
            raise UserError(f"{due} channels, but {len(self.means)} means or a width below 1")

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        columns: Sequence[str],
        *,
        network: str = "resnet",
        width: int | None = None,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        shared: bool = False,
        flip: bool = False,
        shift: int = 0,
        crop: float = 1.0,
    ) -> Self:
        """`network`: lenet, resnet, torchvision:NAME, timm:NAME, or pixels for none; `width`: its features.

        `size`: (height, width) or one number for both, and `channels`, 1 or 3; both as most
        training pictures have them. `shared`: one network for all columns. `flip`, `shift` and
        `crop`: see Distortions. UserErrors: no picture at all, a size that is too small.
        """
        require_pillow()
        distortions = Distortions(flip, shift, crop)
        form = _form_for(table, columns, size, channels)
        if network == PIXELS:
            width = form.channels * form.height * form.width
        width = width or DEFAULT_WIDTHS.get(network, 64)
        build_network(network, form, width)
        means, deviations = _measured(table, columns, form)
        return cls(tuple(columns), form, means, deviations, network, width, shared, distortions)

    @classmethod
    def bad_rows(cls, table: pa.Table, columns: Sequence[str]) -> Mapping[int, str]:
        require_pillow()
        reasons: dict[int, str] = {}
        for name in columns:
            try:
                decode(table[name], name, Form(1, 1, 3))
            except BadRowsError as error:
                reasons |= {row: f"{name}: {why}" for row, why in error.reasons.items()}
        return reasons

    def encode(self, table: pa.Table) -> Tensor:
        """The pictures of all columns, one after the other: uint8 (B, columns * channels, H, W)."""
        require_pillow()
        parts = []
        for place, name in enumerate(self.columns):
            pixels_BCHW, present_B = decode(table[name], name, self.form)
            if not present_B.all():
                first = place * self.form.channels
                means = self.means[first : first + self.form.channels]
                pixels_BCHW[~present_B] = np.round(means).astype(np.uint8)[:, None, None]
            # Arrow's own memory is not to be written to, so torch gets a copy of it.
            parts.append(np.require(pixels_BCHW, requirements=["C", "W"]))
        return torch.from_numpy(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1))

    def module(self) -> "ImageFeatures":
        number = 1 if self.is_shared else len(self.columns)
        networks = [build_network(self.network, self.form, self.width) for _ in range(number)]
        return ImageFeatures(networks, self.means, self.deviations, len(self.columns))

    def features(self) -> list[Feature]:
        size = f"{self.network} of {self.form.height} x {self.form.width}"
        return [
            Feature(name, f"{size}, feature {number} of {self.width}")
            for name in self.columns
            for number in range(self.width)
        ]

    @property
    def map_form(self) -> tuple[int, int, int] | None:
        if self.network != PIXELS:
            return None
        return len(self.columns) * self.form.channels, self.form.height, self.form.width

    @property
    def num_draws(self) -> int:
        return Distortions.NUM_DRAWS if self.distortions.any else 0

    def augment(self, values: Tensor, draws_BN: Tensor) -> Tensor:
        return self.distortions.apply(values, draws_BN)


class ImageFeatures(nn.Module):
    """Pixels of K columns, normalised, through a network a column, or one for all of them.

    **Shape** (B, K * C, H, W), bytes -> (B, K * width).
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        means: Sequence[float],
        deviations: Sequence[float],
        num_columns: int,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.num_columns = num_columns
        self.means: Tensor
        self.deviations: Tensor
        self.register_buffer("means", torch.tensor(means)[:, None, None], persistent=False)
        self.register_buffer(
            "deviations", torch.tensor(deviations)[:, None, None], persistent=False
        )

    def forward(self, pixels_BKHW: Tensor) -> Tensor:
        x_BKHW = (pixels_BKHW.to(self.means.dtype) - self.means) / self.deviations
        if self.num_columns == 1:
            only: Tensor = self.networks[0](x_BKHW)
            return only
        columns = x_BKHW.chunk(self.num_columns, dim=1)
        parts = [
            self.networks[place % len(self.networks)](x_BCHW)
            for place, x_BCHW in enumerate(columns)
        ]
        return torch.cat(parts, dim=1)


def _form_for(
    table: pa.Table,
    columns: Sequence[str],
    size: int | tuple[int, int] | None,
    channels: int | None,
) -> Form:
    """What is asked for, and for the rest the commonest of the training pictures."""
    sides = (size, size) if isinstance(size, int) else size
    if sides is not None and min(sides) < 1:
        raise UserError(f"input image: a size is 1 pixel or more, but {size=}")
    if channels not in (None, 1, 3):
        raise UserError(f"input image: pictures have 1 channel or 3, but {channels=}")
    counted: Counter[Form] = Counter()
    for name in columns:
        found = forms(table[name], name)
        if not found:
            # The first reason, with its row, says more than that there is none.
            decode(table[name], name, Form(1, 1, 3))
            raise UserError(f"column {name!r} has no picture in any training row")
        counted.update(found)
    # Of equally common ones the largest, so that the order of rows decides nothing.
    common = max(counted, key=lambda form: (counted[form], form.height, form.width, form.channels))
    height, width = sides or (common.height, common.width)
    return Form(height, width, channels or common.channels)


def _measured(
    table: pa.Table, columns: Sequence[str], form: Form
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel of each column, over rows spread evenly over the table."""
    rows = np.arange(0, table.num_rows, math.ceil(table.num_rows / _MOST_MEASURED))
    means: list[float] = []
    deviations: list[float] = []
    for name in columns:
        try:
            pixels_NCHW, present_N = decode(table[name].take(rows), name, form)
        except BadRowsError as error:
            raise error.among(rows) from error
        known_NCHW = pixels_NCHW[present_N] if present_N.any() else pixels_NCHW
        means += [float(mean) for mean in known_NCHW.mean(axis=(0, 2, 3))]
        spread = known_NCHW.std(axis=(0, 2, 3))
        deviations += [max(float(each), _SMALLEST_DEVIATION) for each in spread]
    return tuple(means), tuple(deviations)
