"""A small log and one fitted run, shared by the tests of this room."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polytask import Run, fit
from polytask.data.generate import short_video_log

TASKS = ["click:binary", "like:binary", "watch=watch_seconds:regression", "follow:multiclass"]


@pytest.fixture(scope="session")
def log() -> pa.Table:
    return short_video_log(6000)


@pytest.fixture(scope="session")
def clicks(log: pa.Table) -> pa.Table:
    """The log without watch_seconds, which gives the click away."""
    return log.drop_columns(["watch_seconds"])


@pytest.fixture(scope="session")
def log_file(log: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    pq.write_table(log, path)
    return path


@pytest.fixture(scope="session")
def fitted(log: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit(
        log,
        TASKS,
        transform={"watch": "log1p"},
        given={"like": "click"},
        group="user_id",
        epochs=2,
        batch_size=512,
        log_every=2,
        learning_rate=3e-3,
        num_experts=2,
        expert_hidden=(8,),
        tower_hidden=(4,),
        out=tmp_path_factory.mktemp("run") / "run",
        threads=1,
    )
