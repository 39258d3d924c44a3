"""Forward and backward of MMoE and PLE beside the same networks as loops, and beside the floor.

    python benchmarks/trunks.py [--seconds 14] [--plot docs/figures/trunk_costs.svg]

The loops hold the same weights in `ModuleList`s, an expert at a time, as most public
implementations do; once they mix by the same operation as ours and once by `bmm`, which is more
common and slower. Outputs and gradients are checked to be equal. The floor is the time of the network's floating-point operations, backward included, at the
rate that one product of two 1536 x 1536 matrices reaches. All are measured in turn; times are
medians of processor time, which other programs disturb less. One thread, float32.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

# One thread, said before NumPy loads its linear algebra.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib
import torch
from torch import Tensor, nn

from polytask.trunks import CGC, PLE, Experts, MMoE, Trunk, mix
from polytask.trunks.levels import Level

IN_FEATURES = 250  # about what Census-Income's encoder returns
BATCHES = (256, 4096)
LARGE = 1536
Mix = Callable[[Tensor, Tensor], Tensor]


def mix_by_bmm(gate_BE: Tensor, experts_BEH: Tensor) -> Tensor:
    return torch.bmm(gate_BE.unsqueeze(1), experts_BEH).squeeze(1)


class Loop(nn.Module):
    """The experts of one group, one after the other: (B, D) -> a list of (B, H)."""

    def __init__(self, experts: Experts) -> None:
        super().__init__()
        self.experts = nn.ModuleList(_expert(experts, e) for e in range(experts.num_experts))

    def forward(self, x_BD: Tensor) -> list[Tensor]:
        return [expert(x_BD) for expert in self.experts]


def _expert(experts: Experts, e: int) -> nn.Sequential:
    weights = [experts.first.weight.unflatten(0, (experts.num_experts, -1))[e]]
    biases = [experts.first.bias.unflatten(0, (experts.num_experts, -1))[e]]
    weights += [weight_EHK[e].T for weight_EHK in experts.weights]
    biases += [bias_E1K[e, 0] for bias_E1K in experts.biases]
    layers: list[nn.Module] = []
    for weight_HD, bias_H in zip(weights, biases):
        linear = nn.Linear(weight_HD.shape[1], weight_HD.shape[0])
        linear.load_state_dict({"weight": weight_HD, "bias": bias_H})
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers)


class LoopMMoE(nn.Module):
    """MMoE as a loop over experts."""

    def __init__(self, trunk: MMoE, mix: Mix) -> None:
        super().__init__()
        self.mix = mix
        self.experts = Loop(trunk.experts)
        self.gates = _copies(gate.linear for gate in trunk.gates)

    def forward(self, x_BD: Tensor) -> list[Tensor]:
        experts_BEH = torch.stack(self.experts(x_BD), dim=1)
        return [self.mix(gate(x_BD).softmax(dim=1), experts_BEH) for gate in self.gates]


class LoopPLE(nn.Module):
    """PLE as a loop over levels, groups and experts."""

    def __init__(self, trunk: PLE, mix: Mix) -> None:
        super().__init__()
        self.levels = nn.ModuleList(LoopLevel(level, mix) for level in trunk.levels)

    def forward(self, x_BD: Tensor) -> list[Tensor]:
        inputs = [x_BD] * (len(self.levels[0].groups))
        for level in self.levels:
            inputs = level(inputs)
        return inputs


class LoopLevel(nn.Module):
    """Selectors, the shared one last, to mixtures, the shared one last if the level has it."""

    def __init__(self, level: Level, mix: Mix) -> None:
        super().__init__()
        self.mix = mix
        self.groups = nn.ModuleList(Loop(experts) for experts in (*level.own, level.shared))
        self.gates = _copies(gate.linear for gate in level.gates)
        self.shared_gates = _copies([level.shared_gate.linear] if level.shared_gate else [])

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        groups = [group(x_BD) for group, x_BD in zip(self.groups, inputs)]
        mixed = [
            self.mix(gate(x_BD).softmax(dim=1), torch.stack([*own, *groups[-1]], dim=1))
            for gate, x_BD, own in zip(self.gates, inputs, groups)
        ]
        for gate in self.shared_gates:
            everything = [output for group in groups for output in group]
            mixed.append(self.mix(gate(inputs[-1]).softmax(dim=1), torch.stack(everything, dim=1)))
        return mixed


def _copies(linears: Sequence[nn.Linear]) -> nn.ModuleList:
    copies = nn.ModuleList()
    for linear in linears:
        copy = nn.Linear(linear.in_features, linear.out_features, bias=False)
        copy.load_state_dict(linear.state_dict())
        copies.append(copy)
    return copies


def num_operations(network: nn.Module, batch_size: int) -> int:
    """Of forward and backward: three products for each weight, two operations for each of its rows.

    The few operations of the mixtures are left out.
    """
    weights = [p for name, p in network.named_parameters() if p.ndim > 1 and "biases" not in name]
    return 3 * 2 * batch_size * sum(weight.numel() for weight in weights)


def step(network: nn.Module, x_BD: Tensor) -> None:
    """Forward and backward to all parameters and to x, as in training below the heads."""
    outputs = network(x_BD)
    torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])
    x_BD.grad = None
    for parameter in network.parameters():
        parameter.grad = None


def measure(runs: Sequence[Callable[[], object]], *, seconds: float) -> list[float]:
    """The median time of each in milliseconds, called in turn: a few times, as in training."""
    times: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 6:
        for run, values in zip(runs, times):
            run()
            for _ in range(3):
                start = time.process_time()
                run()
                values.append(1e3 * (time.process_time() - start))
    return [statistics.median(values) for values in times]


def check_equal(ours: nn.Module, loop: nn.Module) -> None:
    """Equal outputs, and equal gradients at the input."""
    x_BD = torch.randn(64, IN_FEATURES, requires_grad=True)
    results = []
    for network in (ours, loop):
        outputs = network(x_BD)
        (gradient_BD,) = torch.autograd.grad(sum(output.square().sum() for output in outputs), x_BD)
        results.append([*outputs, gradient_BD])
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def compare(*, seconds: float) -> None:
    mmoe, ple = MMoE(IN_FEATURES, 2), PLE(IN_FEATURES, 2)
    members: dict[str, tuple[Trunk, nn.Module, nn.Module]] = {
        "MMoE, 8 experts 64-32": (mmoe, LoopMMoE(mmoe, mix), LoopMMoE(mmoe, mix_by_bmm)),
        "PLE, 2 levels, 4 + 4 experts 64-32": (ple, LoopPLE(ple, mix), LoopPLE(ple, mix_by_bmm)),
    }
    large = torch.randn(LARGE, LARGE)
    print(
        "| network, 2 tasks | batch | ours, ms | loops, ms | by bmm, ms | loops / ours | by bmm / ours "
        "| ours / floor |\n|---|---|---|---|---|---|---|---|"
    )
    for name, networks in members.items():
        for loop in networks[1:]:
            check_equal(networks[0], loop)
        for batch_size in BATCHES:
            x_BD = torch.randn(batch_size, IN_FEATURES, requires_grad=True)
            runs = [partial(step, network, x_BD) for network in networks]
            times = measure(
                [*runs, lambda: large @ large], seconds=seconds / (len(members) * len(BATCHES))
            )
            ours, loops, by_bmm, product = times
            floor = num_operations(networks[0], batch_size) * product / (2 * LARGE**3)
            print(
                f"| {name} | {batch_size} | {ours:.2f} | {loops:.2f} | {by_bmm:.2f} | "
                f"{loops / ours:.2f} | {by_bmm / ours:.2f} | {ours / floor:.2f} |"
            )


NUMS_TASKS = (1, 2, 4, 6, 8)
NUMS_EXPERTS = (2, 4, 8, 12, 16)
BY_TASKS: dict[str, Callable[[int], Trunk]] = {
    "MMoE, 8 experts": lambda tasks: MMoE(IN_FEATURES, tasks),
    "CGC, 4 + 4": lambda tasks: CGC(IN_FEATURES, tasks),
    "PLE, 2 levels of 4 + 4": lambda tasks: PLE(IN_FEATURES, tasks),
}
BY_EXPERTS: dict[str, Callable[[int], Trunk]] = {
    "MMoE, experts": lambda count: MMoE(IN_FEATURES, 2, num_experts=count),
    "CGC, shared experts": lambda count: CGC(IN_FEATURES, 2, num_shared_experts=count),
    "PLE, shared experts a level": lambda count: PLE(IN_FEATURES, 2, num_shared_experts=count),
}
Curves = dict[str, list[float]]


def curves(
    members: Mapping[str, Callable[[int], Trunk]], counts: Sequence[int], *, seconds: float
) -> Curves:
    """The time of a step at each count in milliseconds, batch 1024."""
    x_BD = torch.randn(1024, IN_FEATURES, requires_grad=True)
    networks = [make(n) for make in members.values() for n in counts]
    times = iter(measure([partial(step, network, x_BD) for network in networks], seconds=seconds))
    return {name: [next(times) for _ in counts] for name in members}


def print_slopes(by_tasks: Curves, by_experts: Curves) -> None:
    print("\n| network, batch 1024 | ms for n | n |\n|---|---|---|")
    for what, counts, lines in (
        ("tasks", NUMS_TASKS, by_tasks),
        ("experts", NUMS_EXPERTS, by_experts),
    ):
        for name, line in lines.items():
            slope, start = _fit(counts, line)
            print(f"| {name} | {start:.2f} + {slope:.2f} n | {what} |")


def _fit(counts: Sequence[int], line: Sequence[float]) -> tuple[float, float]:
    """Slope and intercept by least squares."""
    mean_x, mean_y = statistics.mean(counts), statistics.mean(line)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(counts, line)) / sum(
        (x - mean_x) ** 2 for x in counts
    )
    return slope, mean_y - slope * mean_x


def plot(by_tasks: Curves, by_experts: Curves, path: Path) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for one, counts, lines, label in (
        (axes[0], NUMS_TASKS, by_tasks, "tasks"),
        (axes[1], NUMS_EXPERTS, by_experts, "experts (CGC, PLE: shared ones), 2 tasks"),
    ):
        for name, line in lines.items():
            one.plot(counts, line, marker="o", markersize=3.5, label=name)
        one.set_xlabel(label)
        one.set_ylabel("forward and backward, ms")
        one.set_ylim(bottom=0)
        one.legend(frameon=False, fontsize="small")
        one.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=14, help="for each of the two parts")
    parser.add_argument("--plot", type=Path, help="where the figure of costs goes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    compare(seconds=arguments.seconds)
    by_tasks = curves(BY_TASKS, NUMS_TASKS, seconds=arguments.seconds / 2)
    by_experts = curves(BY_EXPERTS, NUMS_EXPERTS, seconds=arguments.seconds / 2)
    print_slopes(by_tasks, by_experts)
    if arguments.plot:
        plot(by_tasks, by_experts, arguments.plot)


if __name__ == "__main__":
    main()
