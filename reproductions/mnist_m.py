"""MNIST-M (Ganin et al., JMLR 2016): digits of MNIST subtracted from patches of CIFAR-10's pictures."""

import io
from collections.abc import Mapping

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from pictures import DATA
from PIL import Image
from torch import Tensor, nn

from polytask.inputs.image_decoding import Form
from polytask.inputs.image_networks import LeNet
from polytask.streams import Batch

DOMAIN = "adversarial"


class Pictures(nn.Module):
    """A LeNet on pictures (B, 3, 28, 28), read as bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.network = LeNet(Form(28, 28, 3), 50)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        features_BD: Tensor = self.network(inputs["x"].float() / 127.5 - 1)
        return features_BD


def digits(part: str, number: int, seed: int) -> tuple[Batch, Batch]:
    """Pictures of MNIST and of MNIST-M, other digits in either."""
    held = np.load(DATA / "mnist.npz")
    split = "train" if part == "train" else "test"
    images, labels = held[f"x_{split}"], held[f"y_{split}"]
    rng = np.random.default_rng([seed, part == "train"])
    chosen = rng.permutation(len(images))[: 2 * number]
    grey_BHW = images[chosen].astype(np.uint8)
    source_BCHW = np.repeat(grey_BHW[:number, None], 3, axis=1)
    table = pq.read_table(DATA / "cifar10.parquet", columns=["split", "image"])
    behind = table.filter(pc.equal(table["split"], split))["image"]
    places = rng.integers(len(behind), size=number)
    target = []
    for digit_HW, place in zip(grey_BHW[number:], places):
        picture = np.asarray(Image.open(io.BytesIO(behind[int(place)].as_py())).convert("RGB"), int)
        top, left = rng.integers(picture.shape[0] - 27), rng.integers(picture.shape[1] - 27)
        patch_HWC = picture[top : top + 28, left : left + 28]
        target.append(np.abs(patch_HWC - digit_HW[:, :, None].astype(int)).transpose(2, 0, 1))
    y_B = labels[chosen].astype(np.float32)
    return (
        _rows(source_BCHW, y_B[:number], 0.0),
        _rows(np.stack(target).astype(np.uint8), y_B[number:], 1.0),
    )


def _rows(x_BCHW: np.ndarray, y_B: np.ndarray, domain: float) -> Batch:
    labels = {"digit": torch.from_numpy(y_B), DOMAIN: torch.full((len(y_B),), domain)}
    return Batch({"x": torch.from_numpy(x_BCHW)}, labels)


def joined(first: Batch, second: Batch, *, has_labels: bool) -> Batch:
    """Both domains; the second without its digits, unless they are known."""
    digit_B = second.labels["digit"]
    unknown_B = digit_B if has_labels else torch.full_like(digit_B, torch.nan)
    parts = {"digit": unknown_B, DOMAIN: second.labels[DOMAIN]}
    return Batch(
        {"x": torch.cat([first.inputs["x"], second.inputs["x"]])},
        {name: torch.cat([value, parts[name]]) for name, value in first.labels.items()},
    )
