"""The command line as a person uses it."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import polytask
from polytask.cli import main
from polytask.data.generate import short_video_log


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    pq.write_table(short_video_log(3000), home / "log.parquet")
    return home


def run_main(home: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "argv", ["polytask", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


FIT = [
    *("fit", "log.parquet", "--task", "click", "--task", "watch=watch_seconds:regression"),
    *("--transform", "watch=log1p", "--after", "like,follow", "--group", "user_id"),
    *("--trunk", "mmoe", "--num-experts", "2", "--expert-hidden", "8", "--epochs", "1"),
    *("--batch-size", "512", "--threads", "1", "--precision", "bf16"),
]


def test_fit_evaluate_predict_and_repeat_from_the_run_s_own_yaml(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(home, monkeypatch, *FIT, "--out", "run") == 0
    printed = capsys.readouterr().out
    for words in ("click: binary", "single-task", "multi-task", "gain", "epoch 1", "one model"):
        assert words in printed
    assert run_main(home, monkeypatch, "evaluate", "run", "log.parquet") == 0
    scores = json.loads(capsys.readouterr().out)
    assert 0.4 < scores["click"]["auc"] < 1
    metrics = json.loads((home / "run" / "metrics.json").read_text())
    assert metrics["test_evaluations"] == 2
    assert run_main(home, monkeypatch, "predict", "run", "log.parquet", "--out", "p.parquet") == 0
    assert pq.read_table(home / "p.parquet").column_names == ["click", "watch"]
    assert pq.read_table(home / "p.parquet").num_rows == 3000
    written = (home / "run" / "report.html").read_text()
    assert "has met" not in written
    assert run_main(home, monkeypatch, "report", "run", "--out", "reports/run.html") == 0
    assert capsys.readouterr().out.endswith("report: reports/run.html\n")
    assert "has met 2 test tables" in (home / "reports" / "run.html").read_text()
    assert run_main(home, monkeypatch, "fit", "--config", "run/run.yaml", "--out", "again") == 0
    again = json.loads((home / "again" / "metrics.json").read_text())
    assert again["tasks"] == metrics["tasks"]


def test_inspect_prints_a_reason_for_every_column(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(home, monkeypatch, "inspect", "log.parquet", "--task", "click") == 0
    printed = capsys.readouterr().out
    for name in pq.read_schema(home / "log.parquet").names:
        assert name in printed


def test_the_demo_compares_single_task_with_mmoe(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(home, monkeypatch, "demo", "--rows", "1000", "--out", "demo") == 0
    printed = capsys.readouterr().out
    assert "single-task" in printed and "watch_seconds" in printed
    assert (home / "demo" / "metrics.json").is_file()


def test_python_m_polytask_prints_the_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "polytask", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"polytask {polytask.__version__}"


def test_scores_are_written_as_the_extension_says_with_the_columns_to_keep(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = ["fit", "log.parquet", "--task", "click", "--ignore", "watch_seconds", "--epochs", "1"]
    fit += ["--baseline", "none", "--no-intervals", "--threads", "1", "--out", "scored"]
    assert run_main(home, monkeypatch, *fit) == 0
    predict = ["predict", "scored", "log.parquet", "--keep", "user_id, video_id", "--out"]
    for name in ("s.parquet", "s.csv", "s.arrow", "s.feather"):
        assert run_main(home, monkeypatch, *predict, name) == 0
    due = pq.read_table(home / "s.parquet")
    log = pq.read_table(home / "log.parquet")
    assert due.column_names == ["user_id", "video_id", "click"]
    assert due["user_id"].to_pylist() == log["user_id"].to_pylist()
    assert pyarrow.feather.read_table(home / "s.arrow").equals(due)
    assert pyarrow.feather.read_table(home / "s.feather").equals(due)
    text = pyarrow.csv.read_csv(home / "s.csv")
    assert text["click"].to_pylist() == pytest.approx(due["click"].to_pylist(), rel=1e-6)
    assert run_main(home, monkeypatch, *predict, "s.json") == 2
    assert ".json is not a format that is written" in capsys.readouterr().err


def test_the_cache_is_listed_and_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "store-1").mkdir()
    (tmp_path / "store-1" / "rows.npy").write_bytes(bytes(2_000_000))
    (tmp_path / "mine.txt").write_text("not a store")

    def told(command: str) -> str:
        assert run_main(tmp_path, monkeypatch, "cache", command, "--cache", str(tmp_path)) == 0
        return capsys.readouterr().out

    assert "0.002 GB" in told("list")
    assert "removed 1 store," in told("clear")
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]
    assert "empty" in told("list")


def test_a_table_is_encoded_onto_disk_and_found_again(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--on-disk", "always", "--cache", str(tmp_path / "cache"), "--baseline", "none")
    assert run_main(home, monkeypatch, *FIT, *options) == 0
    assert "encoded rows are on disk" in capsys.readouterr().out
    assert run_main(home, monkeypatch, "cache", "list", "--cache", str(tmp_path / "cache")) == 0
    assert "1 store," in capsys.readouterr().out


def test_predictions_in_pieces_are_those_of_the_whole_table(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = polytask.fit(
        home / "log.parquet",
        ["click", "follow:multiclass"],
        epochs=1,
        baseline="none",
        ignore="like,watch_seconds",
        out=tmp_path / "run",
    )
    monkeypatch.setattr("polytask.fitting.run_folder.predicting._PIECE_ROWS", 700)
    whole = run.predict(pq.read_table(home / "log.parquet"), keep=["user_id"])
    for suffix in ("parquet", "csv", "arrow"):
        target = tmp_path / f"scores.{suffix}"
        options = ("--out", str(target), "--keep", "user_id")
        command = ("predict", str(tmp_path / "run"), "log.parquet", *options)
        assert run_main(home, monkeypatch, *command) == 0
        assert f"3000 rows -> {target}: user_id, click, follow" in capsys.readouterr().out
        found = polytask.data.read_table(target)
        assert found.column_names == whole.column_names
        assert found["user_id"].to_pylist() == whole["user_id"].to_pylist()
        assert found["click"].to_pylist() == pytest.approx(whole["click"].to_pylist(), rel=1e-5)
