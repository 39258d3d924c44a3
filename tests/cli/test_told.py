"""What a person is told by `fit` and `inspect` of the columns of a table."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import polytask
from polytask.cli import main
from polytask.data.generate import short_video_log


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("told")
    log = short_video_log(2000)
    tags = pa.array([["a"] * (row % 3) for row in range(2000)])
    pq.write_table(log.append_column("tags", tags), home / "log.parquet")
    return home


def printed(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *arguments: str,
) -> str:
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "argv", ["polytask", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("command", ["fit", "inspect"])
def test_columns_not_used_are_named_with_the_reason(
    command: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*("--task", "click", "--ignore", "watch_seconds,like,follow")]
    if command == "fit":
        options += [*("--epochs", "1", "--threads", "1", "--baseline", "none", "--out", "run")]
    shown = printed(home, monkeypatch, capsys, command, "log.parquet", *options)
    line = next(line for line in shown.splitlines() if " not used: " in line)
    assert "tags (a list" in line
    if command == "fit":
        assert "split at random, seed 0" in shown
        report = (home / "run" / "report.html").read_text()
        assert "Split at random, seed 0." in report and "<code>tags</code> (a list" in report


def test_the_bound_of_an_auc_of_bins_is_in_the_terminal_the_record_and_the_report(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("fitting.comparing.spool", "fitting.storing.preparing"):
        monkeypatch.setattr(f"polytask.{module}.PART_ROWS", 100)
    monkeypatch.setattr("polytask.metrics.wholes.MOST_BINS", 50)
    options = ["--task", "click", "--on-disk", "always", "--cache", "cache", "--epochs", "1"]
    options += ["--threads", "1", "--baseline", "none", "--out", "binned", "--ignore", "tags"]
    shown = printed(home, monkeypatch, capsys, "fit", "log.parquet", *options)
    metric = polytask.load("binned").metrics.tasks["click"].multi.test["auc"]  # type: ignore[index]
    said = f"within {metric.bound:.1e} of the exact one"
    assert metric.bound > 0 and f"AUC of click: {said}" in shown
    assert said in (home / "binned" / "report.html").read_text()
