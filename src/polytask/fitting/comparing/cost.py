"""What a model costs: parameters, training time, and the time of a prediction."""

import statistics
import time
from collections.abc import Iterator

from polytask.model import Network
from polytask.records import Cost
from polytask.streams import Batch
from polytask.training.evaluation import predict, rows_at_once
from polytask.training.run import Precision

_TIMED_ROWS = 16_384


def measure_cost(
    network: Network, table: Batch, *, seconds: float, rows: int, precision: Precision
) -> Cost:
    """Parameters, the time and rows of the training, and the median of three predictions of some thousand rows."""
    some = table[: min(_TIMED_ROWS, 2 * rows_at_once(table))]
    timed = []
    for _ in range(3):
        started = time.perf_counter()
        predict(network, some, precision=precision)
        timed.append(time.perf_counter() - started)
    return Cost(
        parameters=sum(p.numel() for p in network.parameters()),
        train_seconds=seconds,
        train_rows_per_second=rows / max(seconds, 1e-9),
        microseconds_per_row=1e6 * statistics.median(timed) / len(some),
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
