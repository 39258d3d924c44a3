"""Signals and second processes: whoever is stopped or told loses nothing."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import polytask
from forked import Forked
from polytask.errors import UserError
from polytask.files.lock import LOCK, Lock
from polytask.fitting import fit_events
from polytask.training.loop import TrainStep

Command = Callable[..., Any]
Contents = Callable[[Path], dict[str, object]]
GoOn = Callable[[Path], None]


def has_log(run: Path) -> bool:
    return (run / "steps.jsonl").exists()


@pytest.mark.parametrize(
    "moment", [0.5, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.2, 0.8))]
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_loses_nothing(
    number: signal.Signals,
    moment: float,
    table: Path,
    whole: dict[str, object],
    contents: Contents,
    go_on: GoOn,
    fit_options: list[str],
    tmp_path: Path,
    forked: Forked,
) -> None:
    """Where the run has come so far: to this share of the lines of its log."""
    run = tmp_path / "run"
    lines = int(moment * len(whole["steps.jsonl"]))
    running = forked.start("fit", table, *fit_options, "--out", run)
    wait_until(lambda: has_log(run) and (run / "steps.jsonl").read_bytes().count(b"\n") >= lines)
    running.signal(number)
    ended = running.wait()
    assert ended.code in (0, {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}[number.name])
    if ended.code > 0:
        assert f"go on with: polytask fit --resume {run}" in ended.err
        assert "Traceback" not in ended.err and not list(run.rglob("*.part"))
        assert not (run / LOCK).exists()
    go_on(run)
    assert contents(run) == whole


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, "it never came so far"
        time.sleep(0.002)


def test_a_resumed_run_that_is_stopped_says_how_to_go_on(
    interrupted: Path, command: Command, monkeypatch: pytest.MonkeyPatch, no_report: None
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("polytask.fitting.session.Trained.of", interrupt)
    ended = command("fit", "--resume", interrupted)
    assert ended.code == 130 and f"polytask fit --resume {interrupted}" in ended.err


SECOND: dict[str, list[str]] = {
    "resume": ["fit", "--resume", "{run}"],
    "fit": ["fit", "{table}", "--task", "click", "--out", "{run}"],
    "overwrite": ["fit", "{table}", "--task", "click", "--out", "{run}", "--overwrite"],
}


@pytest.mark.parametrize("name", SECOND)
def test_the_second_process_on_a_run_is_told(
    name: str, interrupted: Path, table: Path, command: Command
) -> None:
    lock = Lock.take(interrupted)
    before = {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()}
    arguments = [part.format(run=interrupted, table=table) for part in SECOND[name]]
    command(*arguments).refused(
        f"process {os.getpid()} on", "has been writing this run for 0 seconds"
    )
    assert {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()} == before
    lock.release()
    assert not (interrupted / LOCK).exists()


@pytest.mark.parametrize("seconds_apart", [0.0, 0.1])
def test_of_two_resumes_one_ends_and_one_is_told(
    seconds_apart: float,
    interrupted: Path,
    whole: dict[str, object],
    contents: Contents,
    forked: Forked,
) -> None:
    first = forked.start("fit", "--resume", interrupted)
    time.sleep(seconds_apart)
    second = forked.start("fit", "--resume", interrupted)
    ended = [first.wait(), second.wait()]
    for each in ended:
        if each.code != 0:
            each.refused("writing this run")
    assert 0 in {each.code for each in ended}
    assert contents(interrupted) == whole


def test_a_dead_process_locks_nobody_out(
    interrupted: Path,
    whole: dict[str, object],
    contents: Contents,
    command: Command,
    no_report: None,
) -> None:
    owner = {"process": 1, "host": "elsewhere", "since": 0.0}
    (interrupted / LOCK).write_text(json.dumps(owner))
    command("fit", "--resume", interrupted).ended()
    assert contents(interrupted) == whole


@pytest.mark.parametrize("text", ["", "[", '{"process": "x"}', "[" * 5000])
def test_a_lock_without_an_owner_is_a_lock(text: str, tmp_path: Path) -> None:
    lock = Lock.take(tmp_path)
    (tmp_path / LOCK).write_text(text)
    with pytest.raises(UserError, match="another process is writing this run"):
        Lock.take(tmp_path)
    lock.release()


def test_a_fit_holds_the_lock_until_its_end(table: Path, tmp_path: Path) -> None:
    options = {"table": str(table), "tasks": ["click"], "epochs": 1, "out": str(tmp_path / "run")}
    events = fit_events(polytask.config.validate_config({**options, "baseline": "none"}))
    next(event for event in events if isinstance(event, TrainStep))
    with pytest.raises(UserError, match=f"process {os.getpid()}"):
        Lock.take(tmp_path / "run")
    events.close()
    Lock.take(tmp_path / "run").release()
