"""What balancing adds to a training step: time and peak memory relative to `Equal`'s whole step.

    python benchmarks/balancing_step.py [--where seam exact losses] [--num-tasks 3 11]
    python benchmarks/balancing_step.py --where trunks       # MMoE and PLE beside the MLP, at the seam
    python benchmarks/balancing_step.py --where memory
    python benchmarks/balancing_step.py --plot docs/figures/balancing_growth.svg

A step is forward, `balanced_backward`, Adam (fused). The model is a perceptron of 1.2 M parameters
with a linear head a task, batch 256, float32. All variants take one step in turn, again and again
until `--seconds` are over; a figure is the median over rounds of a variant's processor time divided by
Equal's in the same round, so that a machine that slows down does so for both. As in training, malloc keeps what
is freed: else the gradients of eleven tasks are pages that the system clears at every step.

Peers: `pip install -c constraints.txt "torchjd[full]==0.18.0"` into the same environment; without it
ours runs alone. TorchJD is called as its documentation says, with features handed over. LibMTL is no
package that pip can install and is not run. What its gradient methods do before their solver is
repeated here as the "loop": a full `backward(retain_graph=True)` a task through heads and trunk,
each parameter's gradient copied into a row, J J^T in one product, the weighted sum copied back;
with our solver in the place of its own (which are slower), so the loop is a lower bound of LibMTL.

Memory: the highest sum of what torch's allocator held in a step beyond what it held before it, from
the allocator's own records; kept between steps are parameters, gradients and Adam's state alone.
"""

import argparse
import os
import statistics
import time
from collections.abc import Sequence

# One thread, said before NumPy loads its linear algebra.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from balancing_variants import (
    Variant,
    exact_variants,
    gradient_rules,
    of_rule,
    seam_variants,
    torchjd,
)

from polytask.balancing import BALANCERS, Need
from polytask.training.memory import freed_memory_kept
from polytask.trunks import TRUNKS


def rounds_of(variants: Sequence[Variant], *, seconds: float) -> dict[str, list[float]]:
    """Seconds a step in every round, after a step of warming up; freed memory is kept, as in training."""
    with freed_memory_kept():
        return _rounds_of(variants, seconds=seconds)


def _rounds_of(variants: Sequence[Variant], *, seconds: float) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {one.name: [] for one in variants}
    for one in variants:
        one.step()
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or len(times[variants[0].name]) < 3:
        for one in variants:
            times[one.name].append(one.step())
    return times


def ratio(times: dict[str, list[float]], one: str, other: str) -> float:
    return statistics.median(a / b for a, b in zip(times[one], times[other]))


def table(where: str, num_tasks: int, *, seconds: float) -> None:
    """Relative times of all rules of a kind."""
    equal = of_rule("equal", num_tasks)
    if where == "exact":
        others = list(exact_variants(num_tasks))
    elif where == "seam":
        others = list(seam_variants(num_tasks))
    else:
        losses = [name for name, rule in BALANCERS.items() if rule.needs is Need.LOSSES]
        others = [of_rule(rule, num_tasks) for rule in losses if rule != "equal"]
    times = rounds_of([equal, *others], seconds=seconds)
    milliseconds = 1e3 * statistics.median(times["equal"])
    print(f"\n## {where}, T = {num_tasks}: Equal takes {milliseconds:.1f} ms a step\n")
    print("| rule | of Equal's step | of TorchJD's | of the loop's |\n|---|--:|--:|--:|")
    for one in others:
        compared = ["equal", f"TorchJD {one.name}", f"loop {one.name}"]
        cells = [f"{ratio(times, one.name, o):.2f}" if o in times else "" for o in compared]
        print(f"| {one.name} | {' | '.join(cells)} |")
    print(f"\n{len(times['equal'])} rounds", flush=True)


def trunks(num_tasks: int, *, seconds: float) -> None:
    """The same rules at the seam of other trunks, relative to Equal on the same trunk."""
    names = [name for name in ("shared_bottom", "mmoe", "ple") if name in TRUNKS]
    rules = ("equal", "mgda", "pcgrad", "nash_mtl", "upgrad")
    variants = [
        of_rule(rule, num_tasks, at_seam=True, trunk=name, name=f"{name} {rule}")
        for name in names
        for rule in rules
    ]
    times = rounds_of(variants, seconds=seconds)
    print(f"\n## trunks, T = {num_tasks}, at the seam, relative to Equal on the same trunk\n")
    print(f"| trunk | {' | '.join(rules[1:])} |\n|---|{'--:|' * (len(rules) - 1)}")
    for name in names:
        cells = [f"{ratio(times, f'{name} {rule}', f'{name} equal'):.2f}" for rule in rules[1:]]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def peak_bytes(one: Variant) -> int:
    """The most that the allocator held at once in a step, beyond what it held before."""
    one.step()
    one.step()
    one.model.optimizer.zero_grad()  # or their release, inside the step, would go unseen
    with torch.profiler.profile(profile_memory=True) as profile:
        one.step()
    kineto = profile.profiler.kineto_results
    changes = [(e.start_ns(), e.nbytes()) for e in kineto.events() if e.name() == "[memory]"]
    held = peak = 0
    for _, change in sorted(changes, key=lambda pair: pair[0]):
        held += change
        peak = max(peak, held)
    return peak


def memory(num_tasks: int) -> None:
    equal = of_rule("equal", num_tasks)
    base = peak_bytes(equal)
    sizes = [4 * parameter.numel() for parameter in equal.model.trunk.parameters()]
    allowed = num_tasks * sum(sizes) + sum(sizes) + max(sizes)
    print(f"\n## memory, T = {num_tasks}: Equal's peak is {base / 1e6:.1f} MB\n")
    print(f"T x P + P + the largest layer are {allowed / 1e6:.1f} MB.\n")
    print("| rule | more at the seam, MB | more exact, MB | TorchJD, MB |\n|---|--:|--:|--:|")
    for rule in gradient_rules():
        compared = [
            of_rule(rule, num_tasks, at_seam=True),
            of_rule(rule, num_tasks),
            *torchjd(rule, num_tasks),
        ]
        cells = [f"{(peak_bytes(one) - base) / 1e6:.1f}" for one in compared]
        print(f"| {rule} | {' | '.join([*cells, *[''] * (3 - len(cells))])} |", flush=True)


def growth(path: str, *, seconds: float) -> None:
    """Relative time from 2 to 64 tasks, at the seam and exact."""
    import matplotlib.pyplot as plt

    numbers = (2, 4, 8, 16, 32, 64)
    lines = {
        "dwa (losses)": ("dwa", False, "#5b6670", ":"),
        "upgrad, seam": ("upgrad", True, "#0072b2", "-"),
        "nash_mtl, seam": ("nash_mtl", True, "#009e73", "--"),
        "upgrad, exact": ("upgrad", False, "#d55e00", "-"),
    }
    found: dict[str, list[float]] = {name: [] for name in lines}
    for num_tasks in numbers:
        equal = of_rule("equal", num_tasks)
        others = [
            of_rule(rule, num_tasks, at_seam=at_seam, name=name)
            for name, (rule, at_seam, _, _) in lines.items()
        ]
        times = rounds_of([equal, *others], seconds=seconds / len(numbers))
        for name in lines:
            found[name].append(ratio(times, name, "equal"))
        shown = ", ".join(f"{name} {found[name][-1]:.2f}" for name in lines)
        print(f"T = {num_tasks}: {shown}", flush=True)
    plt.rcParams |= {"svg.hashsalt": "polytask", "font.size": 10}
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for name, (_, _, colour, style) in lines.items():
        axes.plot(numbers, found[name], style, color=colour, marker="o", markersize=4, label=name)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(numbers, [str(number) for number in numbers])
    axes.set_yticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
    axes.set(xlabel="tasks", ylabel="time of a step, in steps of Equal")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--where", nargs="*", default=["losses", "seam", "exact"])
    parser.add_argument("--num-tasks", nargs="*", type=int, default=[3, 11])
    parser.add_argument("--seconds", type=float, default=20.0, help="for each table")
    parser.add_argument("--plot", metavar="FILE", help="draw the growth with the tasks instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.plot:
        growth(options.plot, seconds=options.seconds)
        return
    for num_tasks in options.num_tasks:
        for where in options.where:
            if where == "trunks":
                trunks(num_tasks, seconds=options.seconds)
            elif where == "memory":
                memory(num_tasks)
            else:
                table(where, num_tasks, seconds=options.seconds)


if __name__ == "__main__":
    main()
