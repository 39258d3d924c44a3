"""A small table of two tasks, and a study of it that takes a second or two."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polytask.config.study import StudyConfig, validate_study

FIT: dict[str, object] = {
    "tasks": ["click", "like"],
    "inputs": ["x0", "x1", "x2", "x3"],
    "epochs": 1,
    "batch_size": 256,
    "ensemble": 1,
    "tower_hidden": [4],
    "valid_fraction": 0.2,
    "test_fraction": 0.2,
    "threads": 1,
}
TRUNK = {"name": "shared_bottom", "hidden": [8]}


def table(num_rows: int = 1200, *, seed: int = 0) -> pa.Table:
    """Two related labels, and one that is a coin."""
    rng = np.random.default_rng(seed)
    x_BD = rng.normal(size=(num_rows, 4))
    score_B = x_BD[:, 0] + rng.normal(size=num_rows)
    columns = {f"x{place}": x_B for place, x_B in enumerate(x_BD.T)}
    return pa.table(
        columns
        | {
            "click": (score_B > 0).astype(np.int64),
            "like": (score_B + rng.normal(size=num_rows) > 0.5).astype(np.int64),
            "coin": rng.integers(0, 2, size=num_rows),
        }
    )


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table as a file."""
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    pq.write_table(table(), path)
    return path


Asked = Callable[..., StudyConfig]


@pytest.fixture
def asked(tmp_path: Path, log: Path) -> Asked:
    """A study with options changed; `fit` adds to the options of all."""

    def make(fit: dict[str, object] | None = None, **changes: object) -> StudyConfig:
        values: dict[str, object] = {
            "trunks": [TRUNK],
            "balancers": [],
            "trials": 1,
            "seeds": 3,
            "workers": 2,
            "leave_out": ["static", "rlw", "trees"],
            "out": str(tmp_path / "study"),
        }
        return validate_study(
            {"fit": {**FIT, "table": str(log), **(fit or {})}, **values, **changes}
        )

    return make
