"""How a fit's parts grow with the number of tasks, columns, values and rows: seconds of processor time, one thread.

    python benchmarks/growth.py [--along tasks columns values rows] [--sizes N ...]

Made-up logs of 20,000 rows, 20 columns and 2 tasks unless the axis says otherwise; half of the columns are numbers, the
others categories of 20 values; a fifth of the rows is for tests. Each size runs in a process of its own: one epoch of the
defaults without baselines, then the evaluation with intervals (rows in groups of 20, as `--group` has them), the report. A
part is linear where its time per size does not rise, which the last line of each table says: the largest growth of
time per growth of size between two neighbours.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

SIZES = {
    "tasks": (2, 4, 8, 16, 32, 64),
    "columns": (10, 50, 250, 1000, 2000),
    "values": (1_000, 10_000, 100_000, 1_000_000),
    "rows": (20_000, 100_000, 500_000, 1_000_000),
}
ROWS, COLUMNS, TASKS, VALUES = 20_000, 20, 2, 20
PARTS = ("prepare", "train", "step_ms", "evaluate", "report", "report_mb", "memory_gb")
_A_GROUP = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--along", nargs="+", choices=SIZES, default=[*SIZES])
    parser.add_argument(
        "--sizes", nargs="+", type=int, help="of all axes, in the place of the usual"
    )
    parser.add_argument("--one", nargs=2, metavar=("AXIS", "SIZE"), help="one fit, as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        print(json.dumps(measured(options.one[0], int(options.one[1]))))
        return
    for axis in options.along:
        table(axis, options.sizes or SIZES[axis])


def table(axis: str, sizes: list[int] | tuple[int, ...]) -> None:
    heads = [part.replace("_", ", ").replace("mb", "MB").replace("gb", "GB") for part in PARTS]
    print(f"\n| {axis} | {' | '.join(heads)} |\n|--:|{'--:|' * len(PARTS)}", flush=True)
    found = []
    for size in sizes:
        command = [sys.executable, __file__, "--one", axis, str(size)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"| {size:,} | {done.stderr.strip().splitlines()[-1]} |", flush=True)
            continue
        found.append((size, json.loads(done.stdout.splitlines()[-1])))
        cells = [f"{found[-1][1][part]:.2f}" for part in PARTS]
        print(f"| {size:,} | {' | '.join(cells)} |", flush=True)
    growths = [growth(found, part) for part in PARTS]
    print(f"| time / size, at most | {' | '.join(growths)} |", flush=True)


def growth(found: list[tuple[int, dict[str, float]]], part: str) -> str:
    """The largest growth of a part per growth of the size; 1 is linear."""
    pairs = itertools.pairwise(found)
    ratios = [(b[part] / max(a[part], 1e-9)) / (m / n) for (n, a), (m, b) in pairs]
    return f"{max(ratios):.2f}" if ratios else ""


def measured(axis: str, size: int) -> dict[str, float]:
    """One fit's parts."""
    from polytask.config import validate_config
    from polytask.fitting import fit_events
    from polytask.fitting.events import ModelFinished
    from polytask.fitting.preparing.prepare import Prepared
    from polytask.report import write_report
    from polytask.training.loop import TrainStep

    options = {"rows": ROWS, "columns": COLUMNS, "tasks": TASKS, "values": VALUES, axis: size}
    if axis == "values":
        options["rows"] = max(ROWS, 2 * size)
    log, tasks = made(**options)
    folder = Path(tempfile.mkdtemp())
    config = validate_config(
        {
            "table": "log.parquet",
            "tasks": tasks,
            "ignore": ["group"],
            "group": "group",
            "test_fraction": 0.2,
            "epochs": 1,
            "validations_per_epoch": 1,
            "baseline": "none",
            "threads": 1,
            "out": str(folder / "run"),
        }
    )
    seconds: dict[str, float] = {}
    steps, started = 0, time.process_time()
    for event in fit_events(config, log):
        now = time.process_time()
        if isinstance(event, Prepared):
            seconds["prepare"], started = now - started, now
        elif isinstance(event, TrainStep):
            steps += 1
            seconds["train"] = now - started
        elif isinstance(event, ModelFinished):
            seconds["evaluate"] = now - started - seconds["train"]
    # Once more, without what importing the library that draws takes.
    html = folder / "report.html"
    seconds["report"] = timed(lambda: write_report(folder / "run", out=html))
    return {
        **seconds,
        "step_ms": 1e3 * seconds["train"] / steps,
        "report_mb": html.stat().st_size / 1e6,
        "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,
    }


def timed(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def made(*, rows: int, columns: int, tasks: int, values: int) -> tuple[pa.Table, list[str]]:
    """A log, and its tasks; one column has `values` different values, as far as there are rows."""
    generator = np.random.default_rng(0)
    numbers = generator.standard_normal((columns // 2, rows), dtype=np.float32)
    codes = generator.integers(VALUES, size=(columns - columns // 2, rows), dtype=np.int32)
    if values > VALUES:
        codes[0] = generator.permutation(np.resize(np.arange(values), rows))
    named = {f"n{i}": pa.array(column) for i, column in enumerate(numbers)}
    named |= {f"c{i}": pa.array(column).cast(pa.string()) for i, column in enumerate(codes)}
    signal = numbers[: min(5, len(numbers))].sum(axis=0) + (codes[-1] % 3 - 1)
    for t in range(tasks):
        noise = generator.standard_normal(rows)
        named[f"label{t}"] = pa.array((signal + 2 * noise > 1 + t / tasks).astype(np.int8))
    named["group"] = pa.array(generator.integers(max(rows // _A_GROUP, 1), size=rows))
    return pa.table(named), [f"label{t}:binary" for t in range(tasks)]


if __name__ == "__main__":
    main()
