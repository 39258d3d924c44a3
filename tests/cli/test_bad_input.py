"""Every mistake of the user's: one message that says what to do, exit code 2, nothing lost."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from polytask.cli import main
from polytask.data.generate import short_video_log
from polytask.fitting import session

NUM_ROWS = 1500


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good table and one of each kind of damage."""
    home = tmp_path_factory.mktemp("home")
    log = short_video_log(NUM_ROWS).drop_columns(["watch_seconds"])
    pq.write_table(log, home / "log.parquet")
    (home / "empty.csv").write_text("")
    (home / "empty.parquet").write_bytes(b"")
    (home / "header.csv").write_text("a,b\n")
    (home / "ragged.csv").write_text("a,b\n1,2\n3,4,5\n6,7\n")
    (home / "twice.csv").write_text("a,a\n1,2\n3,4\n")
    whole = (home / "log.parquet").read_bytes()
    (home / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    (home / "log.docx").write_text("x")
    labels = pa.table(
        {
            "x": [float(i % 7) for i in range(40)],
            "constant": [1] * 40,
            "missing": pa.array([None] * 40, pa.float64()),
            "y": [i % 2 for i in range(40)],
            "words": ["ten" if i % 2 else "4" for i in range(40)],
            "endless": [float("inf") if i == 3 else float(i % 3) for i in range(40)],
            "lists": [[1, 2]] * 40,
        }
    )
    pq.write_table(labels, home / "labels.parquet")
    (home / "bad.yaml").write_text("table: log.parquet\ntasks: [click]\nepocs: 3\n")
    (home / "type.yaml").write_text("table: log.parquet\ntasks: [click]\nepochs: many\n")
    (home / "full").mkdir()
    (home / "full" / "thesis.txt").write_text("precious")
    return home


FIT = ["fit", "log.parquet", "--task", "click:binary", "--baseline", "none", "--epochs", "1"]
LABELS = ["fit", "labels.parquet", "--baseline", "none", "--epochs", "1", "--ignore"]

CASES: dict[str, tuple[list[str], str]] = {
    "wrong path": (["fit", "lgo.parquet", "--task", "click"], "lgo.parquet.*did you mean"),
    "no task": (["fit", "log.parquet"], "there is no task"),
    "no table": (["fit", "--task", "click"], "there is no table"),
    "empty csv": (["fit", "empty.csv", "--task", "a"], "empty.csv.*empty"),
    "empty parquet": (["fit", "empty.parquet", "--task", "a"], "empty.parquet"),
    "no rows": (["fit", "header.csv", "--task", "a"], "no rows"),
    "truncated parquet": (["fit", "cut.parquet", "--task", "click"], "cut.parquet"),
    "ragged csv": (["fit", "ragged.csv", "--task", "a"], "line 3"),
    "duplicate column": (["fit", "twice.csv", "--task", "a"], "'a'"),
    "unknown format": (["fit", "log.docx", "--task", "a"], "log.docx"),
    "missing task column": (["fit", "log.parquet", "--task", "clik"], "did you mean 'click'"),
    "constant label": ([*LABELS, "lists,endless", "--task", "constant:binary"], "constant"),
    "missing label": ([*LABELS, "lists,endless", "--task", "missing:regression"], "missing"),
    "yes never occurs": (
        ["fit", "log.parquet", "--task", "c=category:binary:jazz"],
        "'jazz'.*(music|games)",
    ),
    "text for a number": ([*LABELS, "lists,endless", "--task", "words:regression"], "words.*ten"),
    "infinite label": ([*LABELS, "lists", "--task", "endless:regression"], "endless.*infin"),
    "infinite input": ([*LABELS, "lists", "--task", "y"], "endless.*infin"),
    "list column asked for": (
        [*LABELS, "endless", "--task", "y", "--numeric", "lists"],
        "'lists' cannot be an input: a list",
    ),
    "no input left": (
        [*LABELS, "x,words,endless,lists", "--task", "y"],
        "no column is left as an input",
    ),
    "unknown input": ([*FIT, "--inputs", "hour,tabb"], "did you mean 'tab'"),
    "unknown ignore": ([*FIT, "--ignore", "hou"], "did you mean 'hour'"),
    "unknown group": ([*FIT, "--group", "user"], "--group.*did you mean 'user_id'"),
    "unknown yaml key": (
        ["fit", "--config", "bad.yaml"],
        r"bad.yaml:3:1: epocs: unknown key 'epocs' - did you mean 'epochs'",
    ),
    "wrong yaml type": (["fit", "--config", "type.yaml"], "type.yaml:3:1: epochs.*'many'"),
    "no yaml": (["fit", "--config", "none.yaml"], "none.yaml"),
    "wrong option type": ([*FIT, "--epochs", "few"], "epochs.*'few'"),
    "unknown trunk": ([*FIT, "--trunk", "mmeo"], "unknown trunk 'mmeo' - did you mean 'mmoe'"),
    "unknown balancer": ([*FIT, "--balancer", "equl"], "did you mean 'equal'"),
    "unknown metric": ([*FIT, "--monitor", "click.acu"], "did you mean 'auc'"),
    "unknown transform": ([*FIT, "--transform", "click=sqrt"], "log1p"),
    "unknown parent": ([*FIT, "--given", "click=like"], "no task 'like'"),
    "broken derivation": ([*FIT, "--derive", "r = hour +"], "hour"),
    "dangerous derivation": ([*FIT, "--derive", "r = __import__('os')"], "__import__"),
    "cut-off without column": ([*FIT, "--test-from", "3"], "--time-column"),
    "cut-off beyond the data": (
        [*FIT, "--time-column", "hour", "--test-from", "99"],
        "--time-column=hour: .*from 0 to 23",
    ),
    "existing folder": ([*FIT, "--out", "full"], "--overwrite"),
    "folder of something else": ([*FIT, "--out", "full", "--overwrite"], "something else"),
    "no run": (["predict", "full", "log.parquet", "--out", "p.parquet"], "no finished run"),
    "no run folder": (
        ["evaluate", "nowhere", "log.parquet"],
        "no such run folder; .polytask fit. makes one",
    ),
    "no run to begin with": ([*FIT, "--init-from", "nowhere"], "nowhere: no such run folder"),
    "nothing shared but tables": (
        [
            *[*FIT, "--task=like", "--trunk=single_task", "--balancer=mgda"],
            *["--measure-at=parameters", "--cross-layers=0", "--ensemble=1"],
            "--ignore=time_ms,followed_authors,registered_days,duration_seconds",
            "--categorical=user_id,video_id,author_id,hour,hours_since_upload",
        ],
        "--measure-at=parameters: .*embedding tables",
    ),
    "cuda where there is none": ([*FIT, "--device", "cuda:7"], "CUDA"),
}


Command = Callable[[list[str]], tuple[int, str]]


@pytest.fixture
def run_main(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    def run(arguments: list[str]) -> tuple[int, str]:
        monkeypatch.chdir(home)
        monkeypatch.setattr(sys, "argv", ["polytask", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0), capsys.readouterr().err

    return run


@pytest.mark.parametrize("case", CASES)
def test_one_message_and_exit_code_two(case: str, run_main: Command, home: Path) -> None:
    if case == "cuda where there is none" and torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    arguments, message = CASES[case]
    code, printed = run_main(arguments)
    assert code == 2, printed
    assert re.search(message, printed, re.DOTALL), printed
    assert "Traceback" not in printed
    assert printed.count("error:") == 1
    assert (home / "full" / "thesis.txt").read_text() == "precious"


def test_an_unknown_option_is_refused_with_code_two(run_main: Command) -> None:
    code, printed = run_main([*FIT, "--epocs", "3"])
    assert code == 2
    assert "--epocs" in printed


def test_a_failing_run_keeps_what_was_saved(
    home: Path, run_main: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss that explodes stops with words; the configuration and the steps before are there.

    Also where threads are measured first, by steps of a model that explodes alike.
    """
    monkeypatch.setattr(session, "should_measure", lambda *_: True)
    code, printed = run_main(
        [
            *FIT,
            "--learning-rate",
            "1e30",
            "--log-every",
            "1",
            "--out",
            "exploded",
            "--epochs",
            "4",
            "--batch-size",
            "256",
            "--valid-fraction",
            "0",
        ]
    )
    assert code == 2
    assert "is not finite at step" in printed
    assert (home / "exploded" / "run.yaml").is_file()
    assert (home / "exploded" / "steps.jsonl").read_text().count("\n") >= 1
