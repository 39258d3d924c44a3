"""What a model costs: parameters, training time, and the time of a prediction."""

import statistics
import time
from collections.abc import Iterator

from polytask.records import Cost
from polytask.streams import Batch
from polytask.training.evaluation import predict, rows_at_once
from polytask.training.run import TrainingRun

_TIMED_ROWS = 16_384


def measure_cost(run: TrainingRun, table: Batch) -> Cost:
    """Parameters, training time, and the median of three predictions of some thousand rows."""
    rows = table[: min(_TIMED_ROWS, 2 * rows_at_once(table))]
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        predict(run.model, rows, precision=run.settings.precision)
        seconds.append(time.perf_counter() - started)
    progress = run.progress
    return Cost(
        parameters=sum(p.numel() for p in run.model.parameters()),
        train_seconds=progress.train_seconds,
        train_rows_per_second=progress.rows / max(progress.train_seconds, 1e-9),
        microseconds_per_row=1e6 * statistics.median(seconds) / len(rows),
    )


def total_cost(costs: Iterator[Cost]) -> Cost:
    """The K models together, trained and asked one after another."""
    each = list(costs)
    seconds = sum(cost.train_seconds for cost in each)
    rows = sum(cost.train_rows_per_second * cost.train_seconds for cost in each)
    return Cost(
        parameters=sum(cost.parameters for cost in each),
        train_seconds=seconds,
        train_rows_per_second=rows / max(seconds, 1e-9),
        microseconds_per_row=sum(cost.microseconds_per_row for cost in each),
    )
