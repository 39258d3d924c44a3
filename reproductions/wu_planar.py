"""Three classification tasks in the plane, as figure 2 of Wu, Zhang and Re (ICLR 2020): one boundary, two clouds of rows.

    python reproductions/wu_planar.py [--draws 30] [--figure docs/figures]

Task 1 has 20 rows, tasks 2 and 3 have 500 and one boundary, 16 degrees from task 1's (cosine 0.96). The rows of tasks 1 and 2
lie in the same long cloud (deviations 10 and 1), those of task 3 in one across it. Linear classifiers of log-loss over one shared direction (r = 1);
what a source adds to the accuracy of task 1 on fresh rows, at the optimum. The angle is that of task 1's normal to
the long axis: at 0 labels follow the long axis, at 90 the short one.

Theorem 2 bounds the harm by c = kappa(X_2) sin(theta_1, theta_2): where the boundary runs along the cloud, rows of the same cloud
make the most of a small difference of boundaries, and it is they that harm.
"""

import argparse
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional

TARGET_ROWS, SOURCE_ROWS, TEST_ROWS, NOISE = 20, 500, 4_000, 1.0
DEVIATIONS, BETWEEN = (10.0, 1.0), math.acos(0.96)
ANGLES = (10, 45, 70, 83)
SOURCES = {"task 2, the same cloud": DEVIATIONS, "task 3, across": DEVIATIONS[::-1]}
Rows = tuple[Tensor, Tensor]


def normal(degrees: float) -> Tensor:
    angle = math.radians(degrees)
    return torch.tensor([math.cos(angle), math.sin(angle)])


def drawn(
    source: torch.Generator, number: int, cloud: Sequence[float], boundary: Tensor, noise: float
) -> Rows:
    x_B2 = torch.randn(number, 2, generator=source) * torch.tensor(cloud)
    shifted_B = x_B2 @ boundary + noise * torch.randn(number, generator=source)
    return x_B2, (shifted_B > 0).double()


def optimum(tasks: Sequence[Rows], shared_2: Tensor, own_T: Tensor) -> tuple[Tensor, Tensor]:
    """The shared direction and each task's factor of the least sum of mean log-losses, from here on."""
    parameters = [shared_2.clone().requires_grad_(), own_T.clone().requires_grad_()]
    optimizer = torch.optim.LBFGS(parameters, max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = 1e-3 * torch.stack([each.square().sum() for each in parameters]).sum()
        for (x_B2, y_B), factor in zip(tasks, parameters[1]):
            logits_B = x_B2 @ parameters[0] * factor
            total = total + functional.binary_cross_entropy_with_logits(logits_B, y_B)
        total.backward()
        return total

    optimizer.step(loss)
    return parameters[0].detach(), parameters[1].detach()


def gains(degrees: float, seed: int) -> dict[str, float]:
    """What each source adds to the accuracy of task 1, in points."""
    source = torch.Generator().manual_seed(seed)
    boundary = normal(degrees)
    own = drawn(source, TARGET_ROWS, DEVIATIONS, boundary, NOISE)
    x_B2, y_B = drawn(source, TEST_ROWS, DEVIATIONS, boundary, 0.0)

    def accuracy(direction: Tensor, factor: Tensor) -> float:
        return float(((x_B2 @ direction * factor > 0) == y_B.bool()).double().mean())

    alone, factors = optimum([own], torch.tensor([0.1, 0.1]), torch.ones(1))
    found = {}
    for name, cloud in SOURCES.items():
        other = drawn(source, SOURCE_ROWS, cloud, normal(degrees + math.degrees(BETWEEN)), NOISE)
        start = torch.cat([factors, torch.ones(1)])
        shared, both = optimum([own, other], alone, start)
        found[name] = 100 * (accuracy(shared, both[0]) - accuracy(alone, factors[0]))
    return found


def interval(values: Sequence[float]) -> str:
    factor = stats.t.ppf(0.975, len(values) - 1)
    half = factor * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.mean(values):+.2f} +- {half:.2f}"


def draw(folder: Path) -> None:
    """The three tasks where labels follow the long axis."""
    import matplotlib.pyplot as plt

    source = torch.Generator().manual_seed(0)
    degrees, other = ANGLES[0], ANGLES[0] + math.degrees(BETWEEN)
    panels = {
        "task 1": (40, DEVIATIONS, degrees),
        "task 2: helps": (200, DEVIATIONS, other),
        "task 3: adds nothing": (200, DEVIATIONS[::-1], other),
    }
    figure, axes = plt.subplots(1, 3, figsize=(8.4, 3.0), sharex=True, sharey=True)
    for axis, (title, (number, cloud, angle)) in zip(axes, panels.items()):
        x_B2, y_B = drawn(source, number, cloud, normal(angle), NOISE)
        for value, colour in ((0, "#D55E00"), (1, "#0072B2")):
            axis.plot(*x_B2[y_B == value].T, ".", color=colour, markersize=4)
        along = normal(angle + 90)
        axis.plot(*torch.stack([-30 * along, 30 * along]).T, color="black", linewidth=0.8)
        axis.set(title=title, aspect="equal", xlim=(-30, 30), ylim=(-30, 30))
    figure.tight_layout()
    figure.savefig(folder / "wu_planar.svg")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--figure", type=Path, help="folder for wu_planar.svg")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    print(f"| angle | {' | '.join(SOURCES)} |\n|{'---|' * (len(SOURCES) + 1)}")
    for degrees in ANGLES:
        by_draw = [gains(degrees, seed) for seed in range(given.draws)]
        cells = [interval([each[name] for each in by_draw]) for name in SOURCES]
        print(f"| {degrees} | {' | '.join(cells)} |", flush=True)
    if given.figure:
        draw(given.figure)


if __name__ == "__main__":
    main()
