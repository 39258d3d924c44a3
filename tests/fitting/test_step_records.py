"""What a logged step tells of the tasks' gradients, and of their pace."""

import json

import pyarrow as pa
import pytest

from polytask import fit
from polytask.fitting.records import StepRecord, first_losses, from_dict, to_dict
from polytask.report.reading import read_run


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
        assert 0 < record.magnitude_similarity <= 1
        shares = {t: loss / steps[0].losses[t] for t, loss in record.losses.items()}
        mean = sum(shares.values()) / 3
        expected = {task: pytest.approx(share / mean) for task, share in shares.items()}
        assert record.relative_rates == expected
    written = [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]
    assert [from_dict(line) for line in written if "losses" in line] == steps
    assert read_run(out).steps[1].cosines == steps[1].cosines


def test_a_rule_on_the_losses_measures_no_gradients(log: pa.Table) -> None:
    for record in steps_of(run_of(log, "dwa").history):
        assert not record.norms and not record.cosines
        assert record.conflict_rate is None and record.magnitude_similarity is None
        assert len(record.relative_rates) == 3


def test_lines_of_before_are_still_read_and_the_first_loss_is_the_first_that_was_logged() -> None:
    line = {"model": "m", "step": 1, "epoch": 0, "learning_rate": 0.1, "train_seconds": 0.0}
    history = [
        from_dict({**line, "losses": {"a": 2.0}, "weights": {"a": 1.0}}),
        from_dict({**line, "step": 2, "losses": {"a": 1.0, "b": 3.0}, "weights": {}}),
        from_dict({**line, "model": "other", "losses": {"c": 9.0}, "weights": {}}),
    ]
    assert history[0].cosines == {}
    assert first_losses(history, "m") == {"a": 2.0, "b": 3.0}
    assert json.loads(json.dumps(to_dict(history[0])))["conflict_rate"] is None
