"""Products of float32 by the two libraries of torch: GFLOP/s of each shape of a step, one thread.

    python benchmarks/products.py

MKL is what `torch.mm` asks, oneDNN what `polytask.products` asks on AMD's processors; forward, the gradient of
the input and the gradient of the weight. Medians of processor time over calls that take turns.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from polytask.products import onednn_is_faster

SHAPES = {
    "first layer and gates of the defaults": (1024, 408, 528),
    "down into a cross layer": (1024, 405, 32),
    "up from a cross layer": (1024, 32, 405),
    "tower": (1024, 32, 32),
}
_TURNS = 40


def main() -> None:
    torch.set_num_threads(1)
    print("| product | shape | pass | MKL | oneDNN |\n|---|---|---|--:|--:|")
    for name, (num_rows, width, num_outputs) in SHAPES.items():
        x_BD, weight_HD = torch.randn(num_rows, width), torch.randn(num_outputs, width)
        dy_BH = torch.randn(num_rows, num_outputs)
        passes: dict[str, tuple[Tensor, Tensor]] = {
            "forward": (x_BD, weight_HD),
            "input's gradient": (dy_BH, weight_HD.t()),
            "weight's gradient": (dy_BH.t(), x_BD.t()),
        }
        flop = 2 * num_rows * width * num_outputs
        for which, (left, right) in passes.items():
            times = timed(
                lambda left=left, right=right: left @ right.t(),
                lambda left=left, right=right: torch.ops.mkldnn._linear_pointwise(
                    left, right, None, "none", [], ""
                ),
            )
            rates = " | ".join(f"{flop / seconds / 1e9:.0f}" for seconds in times)
            shape = f"{num_rows:,} x {width} x {num_outputs}"
            print(f"| {name} | {shape} | {which} | {rates} |", flush=True)
    chosen = "oneDNN" if onednn_is_faster() else "torch's choice"
    print(f"\nGFLOP/s; polytask takes {chosen} here; torch {torch.__version__}, one thread")


def timed(*calls: Callable[[], Tensor]) -> list[float]:
    """The median of each call's seconds."""
    found: list[list[float]] = [[] for _ in calls]
    for _ in range(_TURNS):
        for times, call in zip(found, calls):
            started = time.thread_time()
            call()
            times.append(time.thread_time() - started)
    return [statistics.median(times[_TURNS // 4 :]) for times in found]


if __name__ == "__main__":
    main()
