"""Does more sharing overfit less? The gap between training and validation loss, by shared layers.

    python reproductions/sharing_overfits_less.py [--seeds 10] [--figure FOLDER]

Census-Income, 2 % of the training rows, income and never married; three layers of 64, of which the
first 0, 1, 2 or 3 are shared; twenty epochs without early stopping, at equal width (what is shared is
counted once, so more sharing also means fewer parameters). The gap is validation less training
log-loss, the mean of both tasks. Baxter (COLT 1995) bounds it by the order of 1/T where all is shared.
"""

import argparse
import math
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

from census import base
from trials import Trial, interval, run_trials

HIDDEN = (64, 64, 64)
TASKS = ("income", "never_married")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    depths = range(len(HIDDEN) + 1)
    trials = [
        Trial(
            {
                "trunk": {"name": "shared_bottom", "hidden": HIDDEN, "num_shared_layers": depth},
                "epochs": options.epochs,
                "seed": seed,
                "split_seed": seed,
                "batch_size": 256,
            },
            share=0.02,
            keep_last=True,
            metrics=("auc", "log_loss"),
        )
        for depth in depths
        for seed in range(options.seeds)
    ]
    gaps: dict[int, list[float]] = {depth: [] for depth in depths}
    losses: dict[int, list[float]] = {depth: [] for depth in depths}
    for outcome in run_trials(base(1), trials):
        depth = outcome.trial.options["trunk"]["num_shared_layers"]
        train, valid = (
            statistics.mean(outcome.of(part, task, "log_loss") for task in TASKS)
            for part in ("train", "valid")
        )
        gaps[depth].append(valid - train)
        losses[depth].append(valid)
    print("| shared layers | gap, 95 % | validation log-loss, 95 % |\n|---|---|---|")
    for depth in depths:
        print(f"| {depth} | {interval(gaps[depth])} | {interval(losses[depth])} |")
    fall = [none - all_ for none, all_ in zip(gaps[0], gaps[len(HIDDEN)])]
    print(f"\nGap without sharing less gap with all layers shared, paired: {interval(fall)}")
    if options.figure:
        draw(gaps, options.figure)


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
