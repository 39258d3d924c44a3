"""Memory of a long fit and of many fits: what a step or a fit took is given back."""

import gc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import polytask
from polytask.training.loop import TrainStep

OPTIONS = {
    "batch_size": 128,
    "baseline": "none",
    "num_experts": 2,
    "threads": 1,
    "intervals": False,
}
TASKS = ["click:binary", "watch:regression"]


@pytest.fixture(scope="module")
def rows(home: Path) -> pa.Table:
    return pq.read_table(home / "table.parquet").slice(0, 300)


def tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def test_two_hundred_epochs_hold_no_more_tensors_than_twenty(rows: pa.Table) -> None:
    options = {"tasks": TASKS, **OPTIONS, "epochs": 200, "patience": 100_000}
    config = polytask.config.validate_config(options)
    steps = 0
    held: dict[int, int] = {}
    for event in polytask.fitting.fit_events(config, rows):
        if isinstance(event, TrainStep):
            steps += 1
            if steps in (40, 390):
                held[steps] = tensors()
    assert steps >= 390, "the fit ended early"
    assert held[390] == held[40]


def test_a_tenth_fit_holds_no_more_than_the_second(rows: pa.Table) -> None:
    held = []
    for _ in range(10):
        polytask.fit(rows, TASKS, **OPTIONS, epochs=1).predict(rows)
        held.append((tensors(), len(gc.get_objects())))
    assert held[-1][0] == held[1][0]
    # Caches of the libraries move by a few objects; a run held by accident is thousands.
    assert abs(held[-1][1] - held[1][1]) < 200
