"""A log with columns of every type, graphs of its runs, and servers of those in this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import uvicorn

import polytask
from polytask.serving.graph.exporting import Exported
from polytask.serving.server.app import make_app
from polytask.serving.server.watching import Current

NUM_ROWS = 1500


class Made(NamedTuple):
    """A run, its graph, and the file of that."""

    run: polytask.Run
    exported: Exported
    path: Path


class Serving(NamedTuple):
    """A server in this process."""

    port: int
    current: Current


def typed_log() -> pa.Table:
    rng = np.random.default_rng(0)
    when = [
        datetime(2022, 1, 1, tzinfo=UTC) + timedelta(seconds=int(second))
        for second in np.sort(rng.integers(0, 3e7, NUM_ROWS))
    ]
    score = rng.normal(size=NUM_ROWS).round(2)
    hourmin = rng.integers(0, 2400, NUM_ROWS)
    click = rng.random(NUM_ROWS) < 1 / (1 + np.exp(-score))
    return pa.table(
        {
            "user": pa.array([f"u{i}" for i in rng.integers(0, 40, NUM_ROWS)]),
            "code": pa.array(
                [["007", "", "a", None, "NA", "\u00fc"][i] for i in rng.integers(0, 6, NUM_ROWS)]
            ),
            "item": pa.array([2**60 + int(i) for i in rng.integers(0, 30, NUM_ROWS)]),
            "big": pa.array([2**63 + int(i) for i in rng.integers(0, 9, NUM_ROWS)], pa.uint64()),
            "flag": pa.array([[True, False, None][i] for i in rng.integers(0, 3, NUM_ROWS)]),
            "ms": pa.array([int(each.timestamp() * 1000) for each in when]),
            "there": pa.array(when, pa.timestamp("us", "Europe/Berlin")),
            "day": pa.array([None if i % 17 == 0 else w.date() for i, w in enumerate(when)]),
            "hourmin": pa.array(hourmin),
            "score": pa.array(np.where(rng.random(NUM_ROWS) < 0.1, np.nan, score)),
            "few": pa.array(rng.integers(0, 5, NUM_ROWS)),
            "click": pa.array(click.astype(int)),
            "like": pa.array((click & (rng.random(NUM_ROWS) < 0.4)).astype(int)),
            "topic": pa.array([["art", "news", "sport"][i] for i in rng.integers(0, 3, NUM_ROWS)]),
            "watch": pa.array(np.exp(rng.normal(size=NUM_ROWS) + 2)),
        }
    )


DERIVED = [
    "hour = hourmin // 100",
    "ratio = score / few",
    "is_u1 = user in ['u1', 'u2']",
    "deep = (score > 0 and few in [1, 2]) or not (few < 3)",
    "mixed = log1p(abs(score)) ** 2 + max(score, few, 0.5) - min(score, 1) + hour",
    "rest = -score % 0.3 + score // 0.3",
    "tokyo = weekday(ms, 'ms', 'Asia/Tokyo')",
    "old = age(there, day) + days_since(there, day)",
    "is_null = score is null",
]


@contextmanager
def served(path: Path, *, every: float = 0.05, **options: int) -> Iterator[Serving]:
    current = Current(path, threads=1)
    current.every = every
    current.load()
    config = uvicorn.Config(
        make_app(current, **options), port=0, log_level="warning", access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    try:
        yield Serving(server.servers[0].sockets[0].getsockname()[1], current)
    finally:
        server.should_exit = True
        thread.join()
