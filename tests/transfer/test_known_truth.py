"""A table whose truth is known, studied end to end."""

import importlib.util
import sys
from pathlib import Path

import pytest

REPRODUCTION = Path(__file__).resolve().parents[2] / "reproductions" / "transfer_known_truth.py"


@pytest.mark.slow
def test_the_harmful_task_is_found_and_kept_apart(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("transfer_known_truth", REPRODUCTION)
    assert spec is not None and spec.loader is not None
    truth = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = truth
    spec.loader.exec_module(truth)
    found = truth.findings(truth.study(0, tmp_path))
    for name in (
        "beside the harmful task it is detectably worse than alone",
        "in one model for all it is detectably worse than alone",
        "the grouping has the helpful pair in one model",
        "the grouping keeps the harmful task from both",
        "TAG affinity: the helpful pair is above those with the harmful task",
        "normalised covariance similarity: the helpful pair is above those with the harmful task",
    ):
        assert all(found[name]), name
