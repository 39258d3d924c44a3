"""Each kernel of C beside torch's operators, alone: milliseconds of processor time, one thread.

    python benchmarks/kernels.py

The lower quartile of interleaved calls. Experts are 8 of 64-32 and mixtures of them, forward and backward, 1,024 rows; Gram
matrices are of T vectors of N float32 numbers, in float64. The fold stands in benchmarks/compare.py.
"""

import time
from collections.abc import Callable
from unittest import mock

import numpy as np
import torch

from polytask import kernels
from polytask.balancing.gradients import _dense_gram
from polytask.trunks.passes import experts_pass, mixed

CALLS = 40
GRAMS = ((3, 131_072), (11, 131_072), (32, 131_072), (64, 131_072), (3, 1_200_000))


def main() -> None:
    torch.set_num_threads(1)
    print(f"{kernels.state()}\n\n| | kernel, ms | torch, ms |\n|---|--:|--:|")
    first = torch.randn(1024, 8 * 64, requires_grad=True)
    weight, bias = torch.randn(8, 64, 32, requires_grad=True), torch.zeros(8, 1, 32)
    show("experts", lambda: experts_pass(first, [weight], [bias]).sum().backward())
    gate = torch.rand(1024, 8, requires_grad=True)
    outputs = torch.randn(1024, 8, 32, requires_grad=True)
    show("mixture", lambda: mixed(gate, outputs).sum().backward())
    for count, length in GRAMS:
        vectors = [torch.randn(length) for _ in range(count)]
        show(f"Gram matrix, T = {count}, N = {length:,}", lambda: _dense_gram(vectors))  # noqa: B023


def show(name: str, run: Callable[[], object]) -> None:
    by_kernel, by_torch = [], []
    for _ in range(CALLS):
        by_kernel.append(seconds(run))
        with mock.patch.object(kernels, "suits", lambda *_: False):
            by_torch.append(seconds(run))
    cells = " | ".join(f"{1e3 * np.quantile(each, 0.25):.2f}" for each in (by_kernel, by_torch))
    print(f"| {name} | {cells} |", flush=True)


def seconds(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


if __name__ == "__main__":
    main()
