"""The synthetic experiment of MMoE: does sharing through gates survive less related tasks?

Two regressions whose weight vectors have cosine p, a random sum of sines each (Ma et al., KDD 2018,
section 3.2); Shared-Bottom, OMoE, MMoE and PLE of 13,056 weights (gates, biases and heads not
counted, as in the paper). Every run draws its data, its start and its batches anew; the runs of a
model are trained side by side as one batched model.

    python reproductions/mmoe_synthetic.py [--runs 30] [--steps 3000] [--figure FOLDER]

Prints the distribution of final losses and the paper's four claims with 95 % intervals.
DIFF: the paper gives neither c, m, the waves, the batch size nor the steps; the values of the PLE
paper stand for the first three. The learning rate is the best of three on runs of their own.
DIFF: labels are divided by their deviation, so that a loss is a share of the label's variance.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from polytask.trunks import PLE, MMoE, OMoE, SharedBottom, Trunk, mlp

NUM_FEATURES, NUM_WAVES, NOISE_STD = 100, 10, 0.1
TOWER, PLE_WIDTH = 8, 18
CORRELATIONS = (0.5, 0.9, 1.0)
LEARNING_RATES = (1e-3, 3e-3, 1e-2)
NUM_TASKS = 2


@dataclass(frozen=True, slots=True)
class Problems:
    """R problems: unit directions (R, T, D), and the waves that both tasks of a problem share."""

    directions_RTD: Tensor
    frequencies_RW: Tensor
    phases_RW: Tensor
    scale_RT: Tensor

    @classmethod
    def draw(cls, num_runs: int, correlation: float, generator: torch.Generator) -> "Problems":
        raw_RD2 = torch.randn(num_runs, NUM_FEATURES, 2, generator=generator)
        basis_RD2 = torch.linalg.qr(raw_RD2).Q
        first_RD, across_RD = basis_RD2.unbind(-1)
        second_RD = correlation * first_RD + math.sqrt(1 - correlation**2) * across_RD
        waves = torch.randn(2, num_runs, NUM_WAVES, generator=generator)
        problems = cls(torch.stack([first_RD, second_RD], 1), *waves, torch.ones(num_runs, 2))
        x_RBD = torch.randn(num_runs, 4096, NUM_FEATURES, generator=generator)
        deviation_RT = problems.clean(x_RBD).std(dim=1)
        return cls(problems.directions_RTD, *waves, deviation_RT)

    def clean(self, x_RBD: Tensor) -> Tensor:
        """Labels without noise (R, B, T): s + sum_i sin(a_i s + b_i) for s = w.x."""
        s_RBT = x_RBD @ self.directions_RTD.transpose(1, 2)
        angles_RBTW = s_RBT[..., None] * self.frequencies_RW[:, None, None]
        waves_RBT = (angles_RBTW + self.phases_RW[:, None, None]).sin().sum(-1)
        return (s_RBT + waves_RBT) / self.scale_RT[:, None]

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x_RBD = torch.randn(len(self.scale_RT), size, NUM_FEATURES, generator=generator)
        clean_RBT = self.clean(x_RBD)
        noise_RBT = NOISE_STD * torch.randn(clean_RBT.shape, generator=generator)
        return x_RBD, clean_RBT + noise_RBT / self.scale_RT[:, None]


class Regressor(nn.Module):
    """A trunk, a tower of eight units and a head a task: (B, D) -> (B, T)."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk
        self.towers = nn.ModuleList(mlp(trunk.out_features, (TOWER,)) for _ in range(NUM_TASKS))
        self.heads = nn.ModuleList(nn.Linear(TOWER, 1) for _ in range(NUM_TASKS))

    def forward(self, x_BD: Tensor) -> Tensor:
        parts = zip(self.heads, self.towers, self.trunk(x_BD))
        return torch.cat([head(tower(h_BH)) for head, tower, h_BH in parts], dim=1)


def shared_bottom() -> Regressor:
    return Regressor(SharedBottom(NUM_FEATURES, NUM_TASKS, hidden=(113,)))


def omoe() -> Regressor:
    return Regressor(OMoE(NUM_FEATURES, NUM_TASKS, num_experts=8, expert_hidden=(16,)))


def mmoe() -> Regressor:
    return Regressor(MMoE(NUM_FEATURES, NUM_TASKS, num_experts=8, expert_hidden=(16,)))


def ple() -> Regressor:
    """Two levels, each of 2 shared experts and 2 own ones a task, as wide as the budget allows."""
    return Regressor(
        PLE(
            NUM_FEATURES,
            NUM_TASKS,
            num_levels=2,
            num_shared_experts=2,
            num_task_experts=2,
            expert_hidden=(PLE_WIDTH,),
        )
    )


MODELS: dict[str, Callable[[], Regressor]] = {
    "Shared-Bottom": shared_bottom,
    "OMoE": omoe,
    "MMoE": mmoe,
    "PLE": ple,
}


def counted(model: nn.Module) -> int:
    """The paper's count: weights of experts, bottoms and towers."""
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.ndim >= 2 and not any(part in name for part in ("gate", "head", "bias"))
    )


def final_losses(
    make: Callable[[], Regressor],
    problems: Problems,
    *,
    learning_rate: float,
    steps: int,
    batch_size: int,
    seed: int,
) -> Tensor:
    """Both tasks' test losses of each run (R, T) after training all runs at once."""
    num_runs = len(problems.scale_RT)
    torch.manual_seed(seed)
    models = [make() for _ in range(num_runs)]
    parameters, _ = stack_module_state(models)
    forward = vmap(lambda own, x_BD: functional_call(models[0], own, (x_BD,)))
    # Adam is per coordinate, and the sum's gradient is each run's own: the runs never meet.
    optimizer = torch.optim.Adam(parameters.values(), lr=learning_rate, fused=True)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        x_RBD, y_RBT = problems.batch(batch_size, generator)
        loss = (forward(parameters, x_RBD) - y_RBT).square().mean(1).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        x_RBD, y_RBT = problems.batch(8192, torch.Generator().manual_seed(seed + 1))
        return (forward(parameters, x_RBD) - y_RBT).square().mean(1)


def best_rate(make: Callable[[], Regressor], *, steps: int, batch_size: int) -> float:
    """The learning rate of the least mean loss over four runs a correlation."""
    means = []
    for rate in LEARNING_RATES:
        losses = []
        for number, correlation in enumerate(CORRELATIONS):
            problems = Problems.draw(4, correlation, torch.Generator().manual_seed(900 + number))
            found_RT = final_losses(
                make, problems, learning_rate=rate, steps=steps, batch_size=batch_size, seed=7
            )
            losses.append(float(found_RT.mean()))
        means.append(sum(losses))
    return LEARNING_RATES[int(np.argmin(means))]


def mean_and_interval(values: Sequence[float]) -> str:
    """The mean with the half-width of its 95 % interval."""
    array = np.asarray(values)
    return f"{array.mean():.4f} +- {1.96 * array.std(ddof=1) / math.sqrt(len(array)):.4f}"


def show(losses: dict[tuple[str, float], np.ndarray]) -> None:
    print("\n| model | p | mean, 95 % | deviation | least | median | greatest |")
    print("|---|---|---|---|---|---|---|")
    for (name, correlation), values in losses.items():
        row = [
            mean_and_interval(values),
            *(
                f"{v:.4f}"
                for v in (values.std(ddof=1), values.min(), np.median(values), values.max())
            ),
        ]
        print(f"| {name} | {correlation} | {' | '.join(row)} |")
    print("\nPaired over runs (the same problems), mean difference with its 95 % interval:\n")
    for name in MODELS:
        change = losses[name, 0.5] - losses[name, 1.0]
        print(f"- {name}: loss at p = 0.5 less that at p = 1: {mean_and_interval(change)}")
    for correlation in CORRELATIONS:
        for name in ("OMoE", "MMoE", "PLE"):
            change = losses["Shared-Bottom", correlation] - losses[name, correlation]
            print(f"- p = {correlation}: Shared-Bottom less {name}: {mean_and_interval(change)}")
    fall = {n: losses[n, 0.5] - losses[n, 1.0] for n in ("Shared-Bottom", "MMoE")}
    difference = fall["Shared-Bottom"] - fall["MMoE"]
    print(
        f"- what Shared-Bottom loses from p = 1 to 0.5 less what MMoE loses: "
        f"{mean_and_interval(difference)}"
    )


def draw(losses: dict[tuple[str, float], np.ndarray], folder: Path) -> None:
    """Histograms of final losses as in the paper's figure 5, and the mean against p."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(CORRELATIONS) + 1, figsize=(14, 3.4), sharex=False)
    colours = dict(zip(MODELS, ("#0072B2", "#E69F00", "#009E73", "#CC79A7")))
    top = max(float(np.quantile(v, 0.98)) for v in losses.values())
    for axis, correlation in zip(axes, CORRELATIONS):
        for name, colour in colours.items():
            values = np.clip(losses[name, correlation], 0, top)
            axis.hist(
                values, np.linspace(0, top, 25), histtype="step", color=colour, label=name, lw=1.6
            )
        axis.set(title=f"correlation {correlation}", xlabel="final loss", ylabel="runs")
    for name, colour in colours.items():
        means = [losses[name, p].mean() for p in CORRELATIONS]
        errors = [
            1.96 * losses[name, p].std(ddof=1) / math.sqrt(len(losses[name, p]))
            for p in CORRELATIONS
        ]
        axes[-1].errorbar(
            CORRELATIONS, means, errors, color=colour, marker="o", capsize=3, label=name
        )
    axes[-1].set(title="mean over runs, 95 %", xlabel="task correlation", ylabel="final loss")
    axes[-1].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(folder / "mmoe_synthetic.svg")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    started = time.perf_counter()
    print({name: counted(make()) for name, make in MODELS.items()}, "weights counted")
    losses: dict[tuple[str, float], np.ndarray] = {}
    sizes = {"steps": options.steps, "batch_size": options.batch_size}
    for name in options.models.split(","):
        rate = best_rate(MODELS[name], steps=options.steps // 4, batch_size=options.batch_size)
        for correlation in CORRELATIONS:
            # The same problems, but for the angle, for all models and correlations: paired runs.
            problems = Problems.draw(options.runs, correlation, torch.Generator().manual_seed(0))
            found_RT = final_losses(MODELS[name], problems, learning_rate=rate, seed=0, **sizes)
            losses[name, correlation] = found_RT.mean(1).numpy()
        minutes = (time.perf_counter() - started) / 60
        print(f"{name}: learning rate {rate:g}, {minutes:.1f} min so far", flush=True)
    show(losses)
    if options.figure:
        draw(losses, options.figure)


if __name__ == "__main__":
    main()
