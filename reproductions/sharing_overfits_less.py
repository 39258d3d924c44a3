"""Does more sharing overfit less? The gap between training and validation loss, by shared layers.

    python reproductions/sharing_overfits_less.py [--seeds 10] [--figure FOLDER]

Census-Income, 2 % of the training rows, income and never married; three layers of 64, of which the
first 0, 1, 2 or 3 are shared; twenty epochs without early stopping, at equal width (what is shared is
counted once, so more sharing also means fewer parameters). The gap is validation less training
log-loss, the mean of both tasks. Baxter (COLT 1995) bounds it by the order of 1/T where all is shared.
"""

import argparse
import math
import os
import statistics
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import numpy as np
import pyarrow.parquet as pq
from census import base
from seeds import interval

import polytask

HIDDEN = (64, 64, 64)
TASKS = ("income", "never_married")
SHARE = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    depths = range(len(HIDDEN) + 1)
    gaps: dict[int, list[float]] = {depth: [] for depth in depths}
    losses: dict[int, list[float]] = {depth: [] for depth in depths}
    for depth in depths:
        for seed in range(options.seeds):
            train, valid = log_losses(depth, seed, epochs=options.epochs)
            gaps[depth].append(valid - train)
            losses[depth].append(valid)
    print("| shared layers | gap, 95 % | validation log-loss, 95 % |\n|---|---|---|")
    for depth in depths:
        print(f"| {depth} | {interval(gaps[depth])} | {interval(losses[depth])} |")
    fall = [none - all_ for none, all_ in zip(gaps[0], gaps[len(HIDDEN)])]
    print(f"\nGap without sharing less gap with all layers shared, paired: {interval(fall)}")
    if options.figure:
        draw(gaps, options.figure)


def log_losses(depth: int, seed: int, *, epochs: int) -> tuple[float, float]:
    """Of the training and the validation rows, the mean of both tasks, after the last epoch."""
    values = base(1) | {"test": None, "monitor": None}
    table = pq.read_table(values.pop("table"))
    order = np.random.default_rng(seed).permutation(len(table))
    num_valid, num_train = len(table) // 10, round(0.9 * SHARE * len(table))
    valid, train = table.take(order[:num_valid]), table.take(order[num_valid:][:num_train])
    run = polytask.fit(
        train,
        **values | {"test": valid, "valid_fraction": 0.0, "seed": seed, "epochs": epochs},
        trunk={"name": "shared_bottom", "hidden": HIDDEN, "num_shared_layers": depth},
        batch_size=256,
        baseline="none",
        intervals=False,
        threads=1,
    )
    of_valid = [run.metrics.tasks[task].test["log_loss"].value for task in TASKS]
    of_train = [
        each.value
        for task in run.evaluate(train).values()
        for each in task.metrics
        if each.name == "log_loss"
    ]
    return statistics.mean(of_train), statistics.mean(of_valid)


def draw(gaps: dict[int, list[float]], folder: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(4.5, 3.2))
    means = [statistics.mean(values) for values in gaps.values()]
    halves = [2.0 * statistics.stdev(v) / math.sqrt(len(v)) for v in gaps.values()]
    axis.errorbar(list(gaps), means, halves, marker="o", capsize=3, color="#0072B2")
    axis.set(xlabel="shared layers of three", ylabel="validation less training log-loss")
    axis.set_xticks(list(gaps))
    figure.tight_layout()
    figure.savefig(folder / "sharing_overfits_less.svg")


if __name__ == "__main__":
    main()
