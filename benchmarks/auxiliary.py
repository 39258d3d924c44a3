"""What each auxiliary part adds to a training step.

    python benchmarks/auxiliary.py [--rounds 15] [--rows 40000]

Census-Income's two goals with the options of `polytask fit` (MMoE, batches of 1,024), and the same with
one part more: forward, backward, the optimizer and the batch with its added rows. Processor time of one
thread; a round takes five steps of every arm in turn, and ratios are of the same round. Printed are
medians with quartiles. Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from main_job import DATA

from polytask.config import validate_config
from polytask.fitting import prepare
from polytask.fitting.building import start_training
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.planning import multi_task
from polytask.training import train
from polytask.training.loop import TrainStep

STEPS = 5
PARTS = (
    "replaced_values",
    "masked_columns",
    {"name": "frequency", "column": "occupation_code"},
    {"name": "adversarial", "column": "year"},
)
OPTIONS = {
    "table": str(DATA / "census_income_train.parquet"),
    "tasks": [
        "income:binary:50000+",
        "never_married=marital_status:binary:Never married",
        {"name": "weeks_worked", "column": "weeks_worked", "kind": "regression", "auxiliary": True},
    ],
    "ignore": "education,marital_status,instance_weight,year",
    "auxiliary": PARTS,
    "epochs": 1000,
    "batch_size": 1024,
    "ensemble": 1,
    "cross_layers": 2,
    "threads": 1,
}


def arms(num_rows: int) -> dict[str, Iterator[TrainStep]]:
    """A training that never ends for every part, and for nothing."""
    prepared = prepare(validate_config(OPTIONS))
    plan = multi_task(prepared.config, prepared)
    goals = tuple(task for task in plan.tasks if not task.auxiliary)
    plan = replace(plan, train=plan.train[:num_rows], valid=None, auxiliaries=(), tasks=goals)
    plans = {"nothing": plan, "auxiliary task": replace(plan, tasks=prepared.tasks)}
    for each in prepared.auxiliaries:
        plans[each.name] = replace(plan, auxiliaries=(each,))
    found = {}
    for name, one in plans.items():
        run = start_training(one, prepared, OwnParts(), device=torch.device("cpu"))
        found[name] = iter(train(run, one.stream()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rows", type=int, default=40_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    trainings = arms(given.rows)
    seconds: dict[str, list[float]] = {name: [] for name in trainings}
    for number in range(given.rounds + 1):
        for name, steps in trainings.items():
            started = time.process_time()
            for _ in range(STEPS):
                next(steps)
            if number > 0:
                seconds[name].append((time.process_time() - started) / STEPS)
    nothing = np.array(seconds.pop("nothing"))
    print(f"nothing: {1000 * np.median(nothing):.1f} ms a step")
    print("| part | step relative to nothing | quartiles |\n|---|---|---|")
    for name, values in seconds.items():
        low, middle, high = np.quantile(np.array(values) / nothing, [0.25, 0.5, 0.75])
        print(f"| {name} | {middle:.2f} | {low:.2f} to {high:.2f} |")


if __name__ == "__main__":
    main()
