"""Two checkouts beside each other: the time of a training step, as a ratio with its interval.

    python benchmarks/compare.py A B [--set cross_layers=0 ...] [--slices 60] [--steps 5] [--threads 1]

A and B are checkouts (folders with src/polytask). Each runs in a process of its own with the packages of
this Python; they take turns, `--steps` training steps at a time, in the order A B B A, so that both meet
the same neighbours. The job is Census-Income by the defaults of `polytask fit`; `--set` changes options of
both, `--set-a` and `--set-b` of one. A worker's turn counts the processor time of its process, and the wall.

Prints medians, and the ratio A / B of the turns (above 1: B is faster) with a 95 % interval of its
median (bootstrap over pairs of turns), and how far the losses of the same steps lie apart.
`--predict ROWS` times predictions of so many rows in the place of steps. With one checkout it prints where
the time of its steps goes, by operator.
Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

HERE = Path(__file__).resolve()
_WARM_UP_TURNS = 4


@dataclass(frozen=True)
class Turn:
    """Seconds a step: of the processor and by the clock; the tasks' losses of each step."""

    cpu: float
    wall: float
    losses: list[list[float]]


class Worker:
    """One checkout's process."""

    def __init__(self, root: Path, options: argparse.Namespace, changes: list[str]) -> None:
        command = [sys.executable, str(HERE), "--worker", "--threads", str(options.threads)]
        command += ["--predict", str(options.predict)]
        for change in [*options.set, *changes]:
            command += [change] if change == "--profile" else ["--set", change]
        # The benchmarks beside this file find the data; polytask itself is the checkout's.
        environment = os.environ | {
            "PYTHONPATH": f"{root.resolve() / 'src'}",
            "OMP_NUM_THREADS": str(options.threads),
        }
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.read()

    def turn(self, num_steps: int) -> Turn:
        self.pipe(self.process.stdin).write(f"{num_steps}\n")
        self.pipe(self.process.stdin).flush()
        return Turn(**self.read())

    def read(self) -> dict:
        line = self.pipe(self.process.stdout).readline()
        if not line:
            raise SystemExit("a worker stopped; its message is above")
        return json.loads(line)

    def close(self) -> None:
        self.pipe(self.process.stdin).close()
        self.process.wait()

    @staticmethod
    def pipe(stream: TextIO | None) -> TextIO:
        assert stream is not None
        return stream


def main() -> None:
    options = parsed()
    if options.worker:
        return profile(options) if options.profile else work(options)
    if len(options.checkouts) == 1:
        options.set += options.set_a
        worker = Worker(options.checkouts[0], options, ["--profile"])
        return print(worker.read()["table"])
    workers = [
        Worker(root, options, changes)
        for root, changes in zip(options.checkouts, (options.set_a, options.set_b), strict=True)
    ]
    turns: list[list[Turn]] = [[], []]
    for number in range(_WARM_UP_TURNS + options.slices):
        for w in (0, 1) if number % 2 == 0 else (1, 0):
            turns[w].append(workers[w].turn(options.steps))
    for worker in workers:
        worker.close()
    show(turns, options)
    return None


def show(turns: list[list[Turn]], options: argparse.Namespace) -> None:
    a, b = (kept[_WARM_UP_TURNS:] for kept in turns)
    unit = f"prediction of {options.predict:,} rows" if options.predict else "step"
    print(f"| ms a {unit} | A | B | A / B | 95 % |\n|---|--:|--:|--:|---|")
    for name, seconds in (("processor", "cpu"), ("clock", "wall")):
        first, second = (np.array([getattr(turn, seconds) for turn in each]) for each in (a, b))
        low, high = interval(first / second)
        ratio = np.median(first / second)
        medians = f"{np.median(first) * 1e3:.2f} | {np.median(second) * 1e3:.2f}"
        print(f"| {name} | {medians} | {ratio:.3f} | {low:.3f} to {high:.3f} |")
    losses = [np.array([step for turn in each for step in turn.losses]) for each in turns]
    if losses[0].size and losses[0].shape == losses[1].shape:
        apart = np.abs(losses[0] - losses[1]).max()
        print(f"\nlosses of the first {len(losses[0])} steps lie at most {apart:.2g} apart")
    print(f"{len(a)} pairs of turns of {options.steps}, {options.threads} threads")


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the median, by 2,000 resamples."""
    random = np.random.default_rng(0)
    medians = np.median(ratios[random.integers(len(ratios), size=(2000, len(ratios)))], axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def work(options: argparse.Namespace) -> None:
    """Take the steps that are asked for on standard input; answer with their time."""
    take = predictions(options) if options.predict else steps(options)
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        cpu, wall = time.process_time(), time.perf_counter()
        losses = [take() for _ in range(int(line))]
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        turn = {"cpu": cpu / len(losses), "wall": wall / len(losses)}
        print(json.dumps(turn | {"losses": [each for each in losses if each]}), flush=True)


def profile(options: argparse.Namespace) -> None:
    """torch's operators by their own processor time, over 60 steps."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recording

    take = steps(options)
    print(json.dumps({}), flush=True)
    for _ in range(20):
        take()
    with recording(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(60):
            take()
    table = recorded.key_averages().table(
        sort_by="self_cpu_time_total", row_limit=30, max_name_column_width=36
    )
    print(json.dumps({"table": table}), flush=True)


def steps(options: argparse.Namespace) -> Callable[[], list[float]]:
    import torch

    from polytask.fitting.building import start_training
    from polytask.fitting.own_parts import OwnParts
    from polytask.training.loop import train

    try:
        from polytask.fitting.planning import multi_task
    except ModuleNotFoundError:  # An older checkout.
        from polytask.fitting.plan import multi_task  # type: ignore[attr-defined, no-redef]

    prepared = prepared_job(options)
    plan = multi_task(prepared.config, prepared)
    run = start_training(plan, prepared, OwnParts(), device=torch.device("cpu"))
    taken = train(run, plan.stream())
    return lambda: next(taken).balancing.losses_T.tolist()


def predictions(options: argparse.Namespace) -> Callable[[], list[float]]:
    """Predictions of an Arrow table by a run in memory, trained for one short epoch."""
    import pyarrow.parquet as pq
    from main_job import CENSUS

    import polytask

    values = job_values(options)
    tasks = values.pop("tasks")
    table = pq.read_table(values.pop("table")).slice(0, 30_000)
    run = polytask.fit(table, tasks, **values, epochs=1, baseline="none", intervals=False)
    test = pq.read_table(dict(zip(CENSUS[::2], CENSUS[1::2]))["--test"])
    rows = test.slice(0, options.predict)

    def take() -> list[float]:
        run.predict(rows)
        return []

    return take


def prepared_job(options: argparse.Namespace):
    import torch

    from polytask.config import validate_config
    from polytask.fitting.preparing.prepare import prepare

    torch.set_num_threads(options.threads)
    return prepare(validate_config(job_values(options) | {"epochs": 1000}))


def job_values(options: argparse.Namespace) -> dict:
    """Census-Income as main_job.py fits it, and what --set says."""
    from main_job import CENSUS, DATA

    values: dict = {"tasks": [], "table": str(DATA / "census_income_train.parquet")}
    for flag, value in zip(CENSUS[::2], CENSUS[1::2]):
        key = flag.removeprefix("--").replace("-", "_")
        if key == "task":
            values["tasks"].append(value)
        else:
            values[key] = value
    for change in options.set:
        name, _, value = change.partition("=")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="*", type=Path, metavar="CHECKOUT")
    for name in ("--set", "--set-a", "--set-b"):
        parser.add_argument(name, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--predict", type=int, default=0, metavar="ROWS")
    parser.add_argument("--profile", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.worker and len(options.checkouts) not in (1, 2):
        parser.error("two checkouts are to be compared, or one is to be looked into")
    return options


if __name__ == "__main__":
    main()
