"""Which share of a training step on pictures is not the network's: gathering, augmenting, normalising.

    python benchmarks/image_speed.py [--network resnet] [--rows 8000] [--size 32] [--batch 128]

Processor time on one thread, medians over rounds: of gathering and augmenting a batch, of normalising it, and of
the whole step of `polytask fit` around them (forward, losses, `balanced_backward`, AdamW). Decoding happens
once, before the first step.
"""

import argparse
import io
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import torch
from PIL import Image as Pillow

from polytask.balancing import Equal, balanced_backward
from polytask.inputs import Image, JoinedEncoder
from polytask.model import MultiTaskModel
from polytask.streams import Augmentation, Batch, InMemoryStream, with_augmented
from polytask.task import binary
from polytask.training.memory import freed_memory_kept
from polytask.training.optimizer import Optimizers
from polytask.trunks import MMoE

DISTORTIONS = {"nothing": {}, "flip, shift": {"flip": True, "shift": 4}}
DISTORTIONS |= {"flip, shift, crop": {"flip": True, "shift": 4, "crop": 0.8}}


def pictures(num_rows: int, size: int) -> pa.Table:
    """JPEG files of smooth noise."""
    random = np.random.default_rng(0)
    content = []
    for _ in range(num_rows):
        coarse = Pillow.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        file = io.BytesIO()
        coarse.resize((size, size), Pillow.Resampling.BILINEAR).save(file, "JPEG", quality=90)
        content.append(file.getvalue())
    return pa.table({"photo": pa.array(content)})


class Step:
    """One model and optimizer; `on` trains it on a batch."""

    def __init__(self, image: Image) -> None:
        torch.manual_seed(0)
        encoder = JoinedEncoder({"image": image})
        tasks = [binary("a"), binary("b")]
        trunk = MMoE(encoder.out_features, 2, num_experts=4, expert_hidden=(64,))
        self.model = MultiTaskModel(encoder, trunk, tasks, tower_hidden=(32,))
        self.balancer = Equal(2)
        self.optimizers = Optimizers(self.model, learning_rate=1e-3, weight_decay=1e-5)

    def on(self, batch: Batch) -> None:
        result = self.model(batch.inputs)
        losses = self.model.losses(result, batch)
        self.optimizers.zero_grad()
        balanced_backward(losses, self.balancer, seam=self.model.seam(result))
        self.optimizers.step(1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="resnet")
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = pictures(options.rows, options.size)
    labels = {name: torch.randint(0, 2, (options.rows,)).float() for name in ("a", "b")}
    started = time.process_time()
    encoded = Image.fit(table, ["photo"], network=options.network).encode(table)
    decoding = time.process_time() - started
    print(f"{options.rows} JPEGs of {options.size} x {options.size}, {options.network}", end=", ")
    print(f"batches of {options.batch}; decoded in {decoding:.1f} s\n")
    print("| augmentation | ms to gather and augment | ms to normalise | ms of the step | share |")
    print("|---|---|---|---|---|")
    for name, distortions in DISTORTIONS.items():
        image = Image.fit(table, ["photo"], network=options.network, **distortions)
        with freed_memory_kept():
            times = measured(image, Batch({"image": encoded}, labels), options)
        share = statistics.median((one + two) / step for one, two, step in zip(*times))
        cells = " | ".join(f"{1000 * statistics.median(each):.2f}" for each in times)
        print(f"| {name} | {cells} | {share:.1%} |", flush=True)


def measured(
    image: Image, table: Batch, options: argparse.Namespace
) -> tuple[list[float], list[float], list[float]]:
    """Seconds to gather and augment, to normalise, and of the step with both, round by round."""
    stream = InMemoryStream(table, options.batch)
    by_input = {"image": Augmentation(image.num_draws, image.augment)} if image.num_draws else {}
    augmented, step = with_augmented(stream, by_input), Step(image)
    features = step.model.encoder.parts["image"]
    gathered, normalised, whole = [], [], []
    num_batches = augmented.num_batches(0)
    for index in range(options.rounds + 2):
        times = [time.process_time()]
        batch = augmented.batch(0, *divmod(index, num_batches))
        times.append(time.process_time())
        _ = (batch.inputs["image"].to(features.means.dtype) - features.means) / features.deviations
        times.append(time.process_time())
        step.on(batch)
        gathered.append(times[1] - times[0])
        normalised.append(times[2] - times[1])
        whole.append(time.process_time() - times[2] + gathered[-1])
    return gathered[2:], normalised[2:], whole[2:]


if __name__ == "__main__":
    main()
