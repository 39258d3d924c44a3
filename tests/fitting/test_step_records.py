"""What a logged step says of the tasks' gradients."""

import pyarrow as pa
import pytest

from polytask import fit
from polytask.records import StepRecord, read_history


def run_of(log: pa.Table, balancer: str, **options: object):
    return fit(
        log,
        ["click:binary", "like:binary", "watch=watch_seconds:regression"],
        transform={"watch": "log1p"},
        balancer=balancer,
        trunk="shared_bottom",
        hidden=(8,),
        batch_size=512,
        epochs=1,
        log_every=3,
        baseline="none",
        threads=1,
        **options,
    )


def steps_of(history) -> list[StepRecord]:
    return [record for record in history if isinstance(record, StepRecord)]


def test_a_gradient_rule_leaves_what_it_measured(log: pa.Table, tmp_path) -> None:
    out = tmp_path / "run"
    steps = steps_of(run_of(log, "pcgrad", out=out).history)
    assert len(steps) > 2
    for record in steps:
        cosines = [c for others in record.cosines.values() for c in others.values()]
        assert set(record.norms) == {"click", "like", "watch"} and min(record.norms.values()) > 0
        assert set(record.cosines) == {"click", "like"} and set(record.cosines["like"]) == {"watch"}
        assert len(cosines) == 3 and all(-1 <= c <= 1 for c in cosines)
        assert record.conflict_rate == pytest.approx(sum(c < 0 for c in cosines) / 3)
    assert steps_of(read_history(out)) == steps


def test_a_rule_on_the_losses_measures_no_gradients(log: pa.Table) -> None:
    for record in steps_of(run_of(log, "dwa").history):
        assert not record.norms and not record.cosines
        assert record.conflict_rate is None
