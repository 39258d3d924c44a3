"""Full disks, folders that go or are shut, too little memory: one message, and nothing is lost."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import polytask
from forked import Forked
from polytask.errors import UserError
from polytask.files.writing import (
    CannotWriteError,
    append_line,
    cut,
    write_text,
    written_whole,
)
from polytask.fitting import fit_events
from polytask.training.loop import TrainStep

Contents = Callable[[Path], dict[str, object]]
GoOn = Callable[[Path], None]

# Of the files of these runs run.yaml has about 1 kB, encoder.json 2, the weights 6, a checkpoint 20,
# metrics.json 15 kB, and steps.jsonl grows to 15.
ROOM = (100, 1_200, 2_500, 4_000, 6_500, 9_000, 12_000, 14_000, 20_000)
QUICK = (1_200, 4_000, 12_000)


@pytest.mark.parametrize(
    "room",
    [room if room in QUICK else pytest.param(room, marks=pytest.mark.slow) for room in ROOM],
)
def test_a_full_disk_is_one_message_and_nothing_is_lost(
    room: int,
    table: Path,
    whole: dict[str, object],
    contents: Contents,
    go_on: GoOn,
    fit_options: list[str],
    tmp_path: Path,
    forked: Forked,
) -> None:
    run = tmp_path / "run"
    ended = forked.run("fit", table, *fit_options, "--out", run, file_bytes=room)
    if ended.code != 0:
        ended.refused("too large")
        has_begun = (run / "run.yaml").exists()
        assert ("what was saved stays, and --resume=" in ended.err) == has_begun
    assert not list(run.rglob("*.part"))
    for path in run.rglob("*.json"):
        json.loads(path.read_text())
    for line in (run / "steps.jsonl").read_text().splitlines() if has_log(run) else []:
        json.loads(line)
    go_on(run)
    assert contents(run) == whole


def has_log(run: Path) -> bool:
    return (run / "steps.jsonl").exists()


def test_some_of_these_disks_are_too_small(home: Path) -> None:
    """The rooms above end in every file of a run."""
    sizes = [path.stat().st_size for path in (home / "finished").iterdir()]
    assert all(min(ROOM) < size for size in sizes) and max(ROOM) > 8_000


WRITERS: dict[str, Callable[[Path], None]] = {
    "a text": lambda path: write_text(path, "x" * 100_000),
    "a line": lambda path: append_line(path, "x" * 100_000),
}


@pytest.mark.parametrize("what", WRITERS)
def test_what_stood_there_stands_where_the_disk_is_full(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("before\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWriteError, match="file: it cannot be written: No space left"):
        WRITERS[what](path)
    assert path.read_text() == "before\n" and [*tmp_path.iterdir()] == [path]


def test_a_line_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "log", os.write
    append_line(path, "first")

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 4:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(CannotWriteError):
        append_line(path, "second line")
    assert path.read_text() == "first\n"
    cut(path, 3)
    assert path.read_text() == "fir"


def test_what_fails_while_it_is_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), written_whole(tmp_path / "file") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert not [*tmp_path.iterdir()]


COMMANDS = {
    "evaluate": ("metrics.json", []),
    "predict": ("p.parquet", ["--out", "{parent}/p.parquet", "--overwrite"]),
    "report": ("report.html", []),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_on_a_full_disk_leave_what_was_there(
    name: str, run: Path, table: Path, forked: Forked
) -> None:
    file, options = COMMANDS[name]
    target = run.parent / file if name == "predict" else run / file
    if name != "evaluate":
        target.write_bytes(b'<meta name="generator" content="polytask">')
    before = target.read_bytes()
    arguments = [] if name == "report" else [table]
    options = [option.format(parent=run.parent) for option in options]
    forked.run(name, run, *arguments, *options, file_bytes=1_500).refused("too large")
    assert target.read_bytes() == before and not list(run.parent.rglob("*.part"))


@pytest.mark.parametrize("command_line", [["evaluate"], ["report"]])
def test_an_output_that_takes_nothing_is_one_message(
    command_line: list[str], run: Path, table: Path, forked: Forked
) -> None:
    arguments = [table] if command_line == ["evaluate"] else []
    forked.run(*command_line, run, *arguments, stdout="/dev/full").refused("No space left")


GONE: dict[str, Callable[[Path], object]] = {
    "removed": shutil.rmtree,
    "a file": lambda run: (shutil.rmtree(run), run.write_text("I am a file")),
}


@pytest.mark.parametrize("log_every", [1, 1000])
@pytest.mark.parametrize("how", GONE)
def test_a_folder_that_goes_while_it_is_written_is_one_message(
    how: str, log_every: int, table: Path, tmp_path: Path, no_report: None
) -> None:
    options = {"table": str(table), "tasks": ["click"], "epochs": 2, "out": str(tmp_path / "run")}
    events = fit_events(polytask.config.validate_config({**options, "log_every": log_every}))
    next(event for event in events if isinstance(event, TrainStep))
    GONE[how](tmp_path / "run")
    with pytest.raises(UserError, match="run"):
        list(events)
    assert how == "a file" or not (tmp_path / "run").exists()


def test_a_folder_that_goes_under_the_baseline_is_not_made_anew(
    table: Path, tmp_path: Path, no_report: None
) -> None:
    """Its checkpoints alone are written then, and they would make a folder that lacks its options."""
    options = {"table": str(table), "tasks": ["click", "watch"], "epochs": 3}
    options |= {
        "baseline": "single",
        "log_every": 1000,
        "checkpoint_every": 1,
        "out": str(tmp_path / "run"),
    }
    events = fit_events(polytask.config.validate_config(options))
    steps = 0
    for event in events:
        if isinstance(event, TrainStep) and event.step <= steps:
            break
        steps = event.step if isinstance(event, TrainStep) else steps
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(UserError, match="is gone"):
        list(events)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def open_to_all(home: Path) -> Iterator[Path]:
    """The table and the finished run where others than their owner may read; pytest's folders are shut."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(home / "finished", folder / "run")
        shutil.copy(home / "table.parquet", folder)
        folder.chmod(0o755)
        yield folder


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody without rights")
def test_a_folder_that_may_not_be_written_is_one_message(
    open_to_all: Path, forked: Forked, fit_options: list[str]
) -> None:
    run, table = open_to_all / "run", open_to_all / "table.parquet"
    shut = open_to_all / "shut"
    shut.mkdir(mode=0o555)
    asked = {
        "fit": ["fit", table, *fit_options, "--out", shut / "run"],
        "evaluate": ["evaluate", run, table],
        "predict": ["predict", run, table, "--out", shut / "p.csv"],
        "report": ["report", run, "--out", shut / "r.html"],
    }
    for name, arguments in asked.items():
        ended = forked.run(*arguments, user=65534)
        ended.refused()
        assert "Permission denied" in ended.err or "nothing can be written" in ended.err, ended.err
        assert (name == "evaluate") == ('"auc"' in ended.out)


def test_too_little_memory_is_one_message(
    table: Path, fit_options: list[str], forked: Forked
) -> None:
    wide = ["--tower-hidden", "20000,20000"]
    forked.run("fit", table, *fit_options, *wide, memory=3 << 30).refused("GB")
