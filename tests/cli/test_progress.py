"""What a person at a terminal sees of a fit and of an evaluation."""

import io
import sys
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.control import strip_control_codes
from rich.text import Text

from polytask.cli import commands, fitting, main, tables
from polytask.config import FitConfig, validate_config
from polytask.data.generate import short_video_log


@pytest.fixture
def config() -> FitConfig:
    options = {"tasks": ["click", "like"], "ignore": "watch_seconds", "epochs": 1, "threads": 1}
    return validate_config({**options, "batch_size": 256, "trunk": "shared_bottom"})


def shown(
    config: FitConfig, monkeypatch: pytest.MonkeyPatch, *, width: int, verbose: bool = False
) -> list[str]:
    screen = io.StringIO()
    terminal = partial(Console, file=screen, force_terminal=True, width=width, highlight=False)
    monkeypatch.setattr(fitting, "console_for_tables", terminal)
    fitting.show_fit(config, short_video_log(1500), verbose=verbose)
    text = Text.from_ansi(screen.getvalue()).plain
    return [strip_control_codes(line).rstrip() for line in text.splitlines()]


def test_a_terminal_shows_a_bar_a_model(monkeypatch: pytest.MonkeyPatch, config: FitConfig) -> None:
    text = "\n".join(shown(config, monkeypatch, width=200))
    for words in ("multi-task", "single: click", "loss click", "valid click auc", "rows/s", "gain"):
        assert words in text


def test_eighty_columns_keep_the_bar_whole_words_and_a_line_a_task(
    monkeypatch: pytest.MonkeyPatch, config: FitConfig
) -> None:
    lines = shown(config, monkeypatch, width=80)
    assert max(map(cell_len, lines)) <= 80
    bars = [line for line in lines if line.startswith("single: like")]
    assert all("━" * 10 in bar and "5/5" in bar for bar in bars[-1:])
    first = next(line for line in lines if "train," in line)
    assert first.split()[-1] in {"categorical", "columns;", "split", "at", "numeric", "random,"}
    results = lines[next(i for i, line in enumerate(lines) if line.startswith("test metrics")) :]
    assert [line.split()[:2] for line in results[2:4]] == [["click", "auc"], ["like", "auc"]]
    assert "--verbose" in results[5]


def test_verbose_shows_all_metrics_with_their_intervals(
    monkeypatch: pytest.MonkeyPatch, config: FitConfig
) -> None:
    lines = shown(config, monkeypatch, width=160, verbose=True)
    place = next(i for i, line in enumerate(lines) if line.startswith("test metrics"))
    assert lines[place + 3].split()[0] == "log_loss" and lines[place + 3].count("[") == 3
    assert not any("--verbose" in line for line in lines)


def test_evaluate_tells_what_it_could_not_measure_and_that_it_met_the_training_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = short_video_log(1500).drop_columns(["watch_seconds"])
    pq.write_table(log, tmp_path / "log.parquet")
    pq.write_table(log.drop_columns(["like"]), tmp_path / "part.parquet")
    monkeypatch.chdir(tmp_path)
    fit = (
        "fit log.parquet --task click --task like --epochs 1 --threads 1 --out run --baseline none"
    )
    for command in (fit, "evaluate run log.parquet", "evaluate run part.parquet"):
        monkeypatch.setattr(sys, "argv", ["polytask", *command.split()])
        monkeypatch.setattr(commands.sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(tables, "Console", partial(Console, width=90))
        with pytest.raises(SystemExit) as stopped:
            main()
        assert not stopped.value.code
        printed = capsys.readouterr()
        assert ("trained on rows of this very table" in printed.err) == ("run log" in command)
        assert ("note: like: " in printed.out) == ("run part" in command)
