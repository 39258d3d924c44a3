"""MultiMNIST: two digits in one picture, left above and right below (Sener and Koltun, NeurIPS 2018).

Each digit is beside another at random on 36 x 36 pixels, the left one at (0, 0), the right one at
(6, 6), the larger of both where they overlap, shrunk to 28 x 28 by taking every nearest pixel, as in the
authors' generator. LeNet to 50 features, a tower of 50 a task. Which digit is left, which right;
accuracy on the test pictures, which are made of MNIST's test digits.
DIFF: AdamW at 3e-3 with a cosine and early stopping, where the authors take SGD, the best of six rates
and 100 epochs; no dropout of channels.

    python reproductions/multimnist.py                                  # 4,000 pictures, 4 epochs
    python reproductions/multimnist.py --pictures 12000 --epochs 8 --seeds 3 --keep multimnist.jsonl
    python reproductions/multimnist.py --pictures 60000 --epochs 100 --seeds 5      # the paper's size
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pictures import DATA, Parts, Scores, interval, one_thread

from polytask.data.arrays import column_of

SIDES = ("left", "right")
BALANCERS = ("equal", "uncertainty", "mgda", "pcgrad", "cagrad")
NUM_VALID, SHIFT = 2000, 6


def overlaid(images: NDArray, labels: NDArray, num: int, *, seed: int) -> pa.Table:
    """`num` pictures of two digits each, and both digits."""
    random = np.random.default_rng(seed)
    first, second = random.permutation(len(images))[:num], random.integers(0, len(images), num)
    canvas = np.zeros((num, 36, 36), dtype=np.uint8)
    canvas[:, :28, :28] = images[first]
    corner = canvas[:, SHIFT : SHIFT + 28, SHIFT : SHIFT + 28]
    np.maximum(corner, images[second], out=corner)
    nearest = (np.arange(28) * 36 / 28 + 18 / 28).astype(int)
    shrunk = canvas[:, nearest[:, None], nearest]
    return pa.table({"image": column_of(shrunk), "left": labels[first], "right": labels[second]})


def parts_for(num_train: int, *, seed: int) -> Parts:
    with np.load(DATA / "mnist.npz") as mnist:
        digits = {name: mnist[name] for name in mnist.files}
    # Validation digits are no training digits.
    cut = len(digits["x_train"]) - 5000
    return Parts(
        overlaid(digits["x_train"][:cut], digits["y_train"][:cut], num_train, seed=seed),
        overlaid(digits["x_train"][cut:], digits["y_train"][cut:], NUM_VALID, seed=seed + 1),
        overlaid(digits["x_test"], digits["y_test"], 10_000, seed=7),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--balancers", nargs="+", default=list(BALANCERS))
    parser.add_argument("--keep", type=Path, help="file of scores, to go on from")
    parser.add_argument("--figure", type=Path, help="folder for multimnist.svg")
    options = parser.parse_args()
    one_thread()
    scores = Scores(options.keep)
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(options.seeds):
        parts = parts_for(min(options.pictures, 55_000), seed=seed)
        for name, accuracies in trained(scores, parts, options, seed).items():
            found.setdefault(name, []).append(accuracies)
    show(found)
    if options.figure:
        draw(found, options.figure)


def trained(
    scores: Scores, parts: Parts, options: argparse.Namespace, seed: int
) -> dict[str, tuple[float, float]]:
    """Accuracy left and right of a network a task, and of one network by each balancer."""
    base = {
        "input_options": {"image": {"network": "lenet"}},
        "trunk": {"name": "shared_bottom", "hidden": ()},
        "tower_hidden": (50,),
        "epochs": options.epochs,
        "batch_size": 256,
        "learning_rate": 3e-3,
        "ensemble": 1,
        "cross_layers": 0,
        "seed": seed,
        "threads": 1,
        "intervals": False,
    }
    size = f"multimnist {len(parts.train)} x {options.epochs} seed {seed}"
    alone: dict[str, float] = {}
    for side in SIDES:
        other = "left" if side == "right" else "right"
        task = {"tasks": [f"{side}:multiclass"], "ignore": other, "monitor": f"{side}.accuracy"}
        alone |= scores.of(f"{size} single {side}", parts, base | task)
    both = {"tasks": [f"{side}:multiclass" for side in SIDES]}
    both["monitor"] = "left.accuracy,right.accuracy"
    found = {"single": (alone["left"], alone["right"])}
    for name in options.balancers:
        accuracy = scores.of(f"{size} {name}", parts, base | both | {"balancer": name})
        found[name] = (accuracy["left"], accuracy["right"])
    return found


def show(found: dict[str, list[tuple[float, float]]]) -> None:
    print("\n| model | left | right | both less single-task, paired |")
    print("|---|---|---|---|")
    single = [statistics.mean(each) for each in found["single"]]
    for name, each in found.items():
        left, right = zip(*each)
        gain = [statistics.mean(one) - alone for one, alone in zip(each, single)]
        gained = "" if name == "single" else interval(gain)
        print(f"| {name} | {interval(left)} | {interval(right)} | {gained} |")


def draw(found: dict[str, list[tuple[float, float]]], folder: Path) -> None:
    """Each model as a point of the two accuracies, as figure 5 of the paper."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(4.8, 3.6))
    for name, each in found.items():
        left, right = (100 * statistics.mean(side) for side in zip(*each))
        marker = "*" if name == "single" else "o"
        axis.plot(left, right, marker, markersize=9 if name == "single" else 6)
        axis.annotate(name, (left, right), textcoords="offset points", xytext=(5, 4), fontsize=8)
    left, right = (100 * statistics.mean(side) for side in zip(*found["single"]))
    axis.axvline(left, color="grey", linewidth=0.6)
    axis.axhline(right, color="grey", linewidth=0.6)
    axis.set(xlabel="accuracy, left digit (%)", ylabel="accuracy, right digit (%)")
    figure.tight_layout()
    figure.savefig(folder / "multimnist.svg")


if __name__ == "__main__":
    main()
