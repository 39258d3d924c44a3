"""The command that began a run, given again, ends it; another command is refused."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polytask.cli import main
from polytask.config import FitConfig, validate_config
from polytask.errors import UserError
from polytask.files.lock import Lock
from polytask.fitting import Event, Finished, Notice, continued_events, fit_events
from polytask.fitting.processes.torchrun import number_of_restarts
from polytask.training.loop import TrainStep

OPTIONS = {
    "tasks": ["click:binary", "like:binary"],
    "after": "watch_seconds,follow",
    "epochs": 2,
    "batch_size": 256,
    "num_experts": 2,
    "expert_hidden": (8,),
    "tower_hidden": (4,),
    "dropout": 0.2,
    "checkpoint_every": 3,
    "intervals": False,
    "threads": 1,
}
STEPS = 3 * 2 * 4
"""Of a model for both tasks and one a task."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, log: pa.Table) -> Path:
    path = tmp_path_factory.mktemp("table") / "log.parquet"
    pq.write_table(log.slice(0, 1264), path)
    return path


@pytest.fixture(scope="module", autouse=True)
def no_report() -> Iterator[None]:
    """The report takes longer than these runs do and has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("polytask.fitting.session.write_report", lambda folder: None)
        yield


@pytest.fixture
def asked(table: Path, tmp_path: Path) -> FitConfig:
    return validate_config({**OPTIONS, "table": str(table), "out": str(tmp_path / "run")})


@pytest.fixture(scope="module")
def weights(table: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Those of a run that nothing disturbs."""
    out = tmp_path_factory.mktemp("whole") / "run"
    done(fit_events(validate_config({**OPTIONS, "table": str(table), "out": str(out)})))
    return (out / "model.safetensors").read_bytes()


def done(events: Iterator[Event], *, stop_at: int = 0) -> tuple[int, list[str]]:
    """How many steps were taken, until `stop_at` if it is said, and what was noted."""
    steps, notices, has_ended = 0, [], False
    for event in events:
        steps += isinstance(event, TrainStep)
        notices += [event.text] if isinstance(event, Notice) else []
        has_ended |= isinstance(event, Finished)
        if steps == stop_at > 0:
            events.close()
            return steps, notices
    assert has_ended
    return steps, notices


def test_it_begins_resumes_and_then_has_nothing_to_do(asked: FitConfig, weights: bytes) -> None:
    assert asked.out is not None
    assert done(continued_events(asked), stop_at=4)[0] == 4
    # The checkpoint of step 3 is the last.
    assert done(continued_events(asked), stop_at=9)[0] == 9
    assert done(continued_events(asked))[0] < STEPS - 9
    assert (asked.out / "model.safetensors").read_bytes() == weights
    steps, notices = done(continued_events(asked))
    assert steps == 0 and "nothing was left to do" in notices[-1]
    assert not (asked.out / "run.lock").exists()


def test_a_run_on_rows_from_disk_continues(asked: FitConfig, tmp_path: Path) -> None:
    stored = asked.model_copy(update={"on_disk": "always", "cache": tmp_path / "cache"})
    whole = stored.model_copy(update={"out": tmp_path / "whole"})
    done(fit_events(whole))
    assert done(continued_events(stored), stop_at=9)[0] == 9
    done(continued_events(stored))
    first, second = (tmp_path / run / "model.safetensors" for run in ("whole", "run"))
    assert first.read_bytes() == second.read_bytes()


def test_threads_that_were_chosen_stay(asked: FitConfig, weights: bytes) -> None:
    """A command that leaves them open has the bits of the run that it began."""
    assert asked.out is not None
    done(fit_events(asked), stop_at=4)
    open_threads = asked.model_copy(update={"threads": None, "log_every": 5})
    _, notices = done(continued_events(open_threads))
    assert not any("threads" in text for text in notices)
    assert (asked.out / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("is_finished", [False, True])
def test_a_run_of_other_options_is_refused_and_named(asked: FitConfig, is_finished: bool) -> None:
    done(fit_events(asked), stop_at=0 if is_finished else 4)
    other = asked.model_copy(update={"batch_size": 128, "dropout": 0.0})
    with pytest.raises(UserError, match=r"dropout is 0\.2 there, 0\.0 here") as raised:
        done(continued_events(other))
    assert "batch_size is 256 there, 128 here" in raised.value.message
    replaced = other.model_copy(update={"overwrite": True})
    assert done(continued_events(replaced))[0] > STEPS


@pytest.mark.parametrize("is_finished", [False, True])
def test_a_table_that_has_changed_is_refused(
    asked: FitConfig, log: pa.Table, is_finished: bool, tmp_path: Path
) -> None:
    path = tmp_path / "log.parquet"
    pq.write_table(log.slice(0, 1264), path)
    own = asked.model_copy(update={"table": path})
    done(fit_events(own), stop_at=0 if is_finished else 4)
    pq.write_table(log.slice(3000, 1264), path)
    with pytest.raises(UserError, match=r"the table has changed|no longer the run"):
        done(continued_events(own))


def test_a_run_that_another_process_writes_is_left_alone(asked: FitConfig) -> None:
    assert asked.out is not None
    done(fit_events(asked), stop_at=4)
    lock = Lock.take(asked.out)
    with pytest.raises(UserError, match="has been writing this run"):
        done(continued_events(asked))
    lock.release()
    with pytest.raises(UserError, match="needs the folder"):
        done(continued_events(asked.model_copy(update={"out": None})))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["polytask", *map(str, arguments)])
    try:
        main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def test_the_command_continues_where_it_is_told_to_and_after_torchruns_restart(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["fit", table, "--task", "click", "--ignore", "watch_seconds,like,follow"]
    command += ["--epochs", 1, "--expert-hidden", 4, "--threads", 1, "--out", out]
    command += ["--no-intervals", "--baseline", "none"]
    assert run(monkeypatch, *command, "--continue") == 0
    assert run(monkeypatch, *command) == 2
    assert "the folder exists" in capsys.readouterr().err
    assert run(monkeypatch, *command, "--continue") == 0
    assert "nothing was left to do" in capsys.readouterr().out
    assert number_of_restarts() == 0
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert run(monkeypatch, *command) == 0
    assert "nothing was left to do" in capsys.readouterr().out
    assert run(monkeypatch, "fit", "--resume", out, "--continue") == 2
    assert "leave out --continue" in capsys.readouterr().err
