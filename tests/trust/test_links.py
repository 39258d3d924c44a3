"""A run folder from a stranger, or an --out, leads nowhere else: nothing outside is touched."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from polytask.files.lock import LOCK
from polytask.files.plain import fresh_part
from polytask.files.writing import CannotWriteError, write_text
from polytask.records.layout import FILES, FINISHED, TENSORS

Command = Callable[..., Any]

NEWEST = "checkpoints/0/step-0000000008"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Somebody's folder, with names that a run folder has as well."""
    victim = tmp_path / "victim"
    for name in ("thesis", "7", "step-0000000001", "finished"):
        (victim / name).mkdir(parents=True)
        (victim / name / "work.txt").write_text("x" * 5000)
    (victim / "notes.txt").write_text("n" * 5000)
    return victim


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put_link(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


LINKS = dict.fromkeys((*FILES, LOCK), "notes.txt") | {
    "checkpoints": "",
    "checkpoints/0": "",
    "checkpoints/1": "",
    NEWEST: "thesis",
    f"checkpoints/0/{FINISHED}": "thesis",
    f"{NEWEST}/{TENSORS}": "notes.txt",
    "checkpoints/encoder": "thesis",
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_in_a_run_is_refused_before_anything_is_done(
    name: str, interrupted: Path, victim: Path, command: Command, fit_options: list[str]
) -> None:
    put_link(interrupted / name, victim / LINKS[name])
    before = content(victim)
    command("fit", "--resume", interrupted).refused("symbolic link", name.split("/")[-1])
    again = command("fit", "table.parquet", *fit_options, "--out", interrupted, "--overwrite")
    again.refused()
    if name in FILES:
        command("report", interrupted).refused("symbolic link")
        command("predict", interrupted, interrupted.parent, "--out", "p.csv").refused()
    assert content(victim) == before


@pytest.mark.parametrize("name", ["metrics.json", "checkpoints/0/step-0000000009"])
def test_parts_of_names_that_can_be_foreseen_are_not_ours(
    name: str, interrupted: Path, victim: Path, command: Command, no_report: None
) -> None:
    """Nobody can lay a link under the name that a file has until it is whole."""
    for part in (f"{name}.part", fresh_part(Path(name)).name):
        (interrupted / name).with_name(Path(part).name).symlink_to(victim / "notes.txt")
    (interrupted / "model.part").symlink_to(victim / "notes.txt")
    before = content(victim)
    ended = command("fit", "--resume", interrupted)
    # Where checkpoints lie, a link under a name like ours is refused: parts there are removed.
    ended.refused("symbolic link") if "/" in name else ended.ended()
    assert content(victim) == before


@pytest.mark.parametrize("lies_there", ["file", "link"])
def test_a_name_that_is_foreseen_all_the_same_is_not_written_through(
    lies_there: str, victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, notes = tmp_path / "foreseen", victim / "notes.txt"
    monkeypatch.setattr("polytask.files.writing.fresh_part", lambda path: part)
    part.symlink_to(notes) if lies_there == "link" else os.link(notes, part)
    before = content(victim)
    with pytest.raises(CannotWriteError, match=r"metrics\.json: it cannot be written"):
        write_text(tmp_path / "metrics.json", "{}")
    assert content(victim) == before


def test_only_names_of_ours_are_removed(
    interrupted: Path, command: Command, no_report: None
) -> None:
    kept = [
        "checkpoints/0/notes.txt",
        "checkpoints/thesis/work.txt",
        f"{NEWEST}/mine.txt",
        "my.txt",
    ]
    for name in kept:
        (interrupted / name).parent.mkdir(exist_ok=True)
        (interrupted / name).write_text("precious")
    command("fit", "--resume", interrupted).ended()
    left = [path.name for path in interrupted.rglob("*.txt") if path.read_text() == "precious"]
    assert sorted(left) == sorted(Path(name).name for name in kept)
    assert not (interrupted / "checkpoints").exists()


def test_a_run_behind_a_link_is_a_run(
    run: Path, table: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "link").symlink_to(run)
    command("evaluate", tmp_path / "link", table).ended()


ODD: dict[str, Callable[[Path], None]] = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to(path.with_name("nothing")),
}


@pytest.mark.parametrize("name", FILES[:3])
@pytest.mark.parametrize("odd", ODD)
def test_odd_files_in_a_run_are_refused(
    odd: str, name: str, run: Path, table: Path, command: Command
) -> None:
    (run / name).unlink()
    ODD[odd](run / name)
    command("evaluate", run, table).refused(name, odd)


@pytest.mark.parametrize("odd", ODD)
def test_an_output_is_a_plain_file_or_refused(
    odd: str, run: Path, table: Path, tmp_path: Path, command: Command
) -> None:
    out = tmp_path / "out.csv"
    ODD[odd](out)
    before = (out.lstat().st_ino, out.lstat().st_mtime_ns)
    command("predict", run, table, "--out", out, "--overwrite").refused(odd)
    command("report", run, "--out", out, "--overwrite").refused(odd)
    assert (out.lstat().st_ino, out.lstat().st_mtime_ns) == before


@pytest.mark.parametrize("out", ["/proc/p.csv", "table.parquet/p.csv"])
def test_an_output_that_cannot_be_is_one_message(
    out: str, run: Path, table: Path, command: Command
) -> None:
    command("predict", run, table, "--out", table.parent / out).refused()
    command("report", run, "--out", table.parent / out).refused()
    command("fit", table, "--task", "click", "--out", table.parent / out).refused()


def test_devices_are_not_replaced(run: Path, table: Path, command: Command) -> None:
    command("report", run, "--out", "/dev/null").refused("/dev/null", "device")


def test_no_table_is_replaced_by_its_predictions(
    run: Path, table: Path, tmp_path: Path, command: Command
) -> None:
    own = Path(shutil.copy(table, tmp_path / "own.parquet"))
    command("predict", run, own, "--out", own, "--overwrite").refused("the table that is read")
    (tmp_path / "parts").mkdir()
    part = Path(shutil.copy(table, tmp_path / "parts" / "a.parquet"))
    command("predict", run, part.parent, "--out", part, "--overwrite").refused("that is read")
    assert pq.read_table(own).equals(pq.read_table(table))


@pytest.mark.parametrize("name", ["run.yaml", "model.safetensors", "../table.txt"])
def test_a_report_replaces_reports_alone(name: str, run: Path, command: Command) -> None:
    (run.parent / "table.txt").write_text("precious")
    before = (run / name).read_bytes()
    command("report", run, "--out", run / name).refused(name)
    if name != "../table.txt":
        command("report", run, "--out", run / name, "--overwrite").refused(name)
    assert (run / name).read_bytes() == before


def test_hard_links_are_not_written_through(
    interrupted: Path, victim: Path, command: Command
) -> None:
    (interrupted / "steps.jsonl").unlink()
    os.link(victim / "notes.txt", interrupted / "steps.jsonl")
    before = content(victim)
    command("fit", "--resume", interrupted).refused("second name")
    assert content(victim) == before


def test_a_foreign_run_yaml_replaces_no_run(
    run: Path, table: Path, tmp_path: Path, command: Command
) -> None:
    mine = shutil.copytree(run, tmp_path / "mine")
    options = (run / "run.yaml").read_text()
    lines = [line for line in options.splitlines() if not line.startswith(("out:", "overwrite:"))]
    config = tmp_path / "theirs.yaml"
    config.write_text("\n".join([*lines, f"out: {mine}", "overwrite: true", ""]))
    before = content(mine)
    command("fit", "--config", config, "--epochs", "1", "--baseline", "none").refused("--overwrite")
    assert content(mine) == before
