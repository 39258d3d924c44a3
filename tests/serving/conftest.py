"""A log with columns of every type, one fitted run of it, its graph, and a server of that."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import polytask
from polytask.serving.graph.exporting import export_run, write_graph
from serving_graphs import DERIVED, Made, Serving, served, typed_log


@pytest.fixture(scope="session")
def log() -> pa.Table:
    return typed_log()


@pytest.fixture(scope="session")
def made(log: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Every type of column, derived ones among them, and one network for tasks of four kinds."""
    run = polytask.fit(
        log,
        ["click:binary", "like:binary", "topic:multiclass", "watch:regression"],
        given={"like": "click"},
        transform={"watch": "log1p"},
        derive=[line for line in DERIVED if not line.startswith("old")],
        columns={"time": ["ms", "there", "day"]},
        categorical=["few", "big", "flag", "is_u1"],
        epochs=1,
        batch_size=256,
        trunk="shared_bottom",
        hidden=(8,),
        tower_hidden=(4,),
        ensemble=1,
        cross_layers=0,
        shortcuts=False,
        linear=False,
        baseline="none",
        intervals=False,
        threads=1,
        out=tmp_path_factory.mktemp("served") / "run",
    )
    exported = export_run(run)
    assert run.config.out is not None
    path = Path(run.config.out) / "model.onnx"
    write_graph(exported, path)
    return Made(run, exported, path)


@pytest.fixture(scope="session")
def serving(made: Made) -> Iterator[Serving]:
    with served(made.path) as started:
        yield started
