"""`polytask export` as a person uses it, and what becomes of its file."""

import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import polytask
from polytask.cli import main
from polytask.data.generate import short_video_log
from polytask.errors import UserError
from polytask.fitting.run_folder.folder import RunFolder
from polytask.serving.graph import exporting
from polytask.serving.server import running

OPTIONS: dict[str, object] = {
    "inputs": ["author_id", "duration_seconds"],
    "trunk": "shared_bottom",
    "hidden": (4,),
    "tower_hidden": (),
    "ensemble": 1,
    "cross_layers": 0,
    "epochs": 1,
    "baseline": "none",
    "intervals": False,
    "threads": 1,
}


def export(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["polytask", "export", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_the_command_writes_a_graph_that_a_new_fit_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = short_video_log(1000)
    pq.write_table(log, tmp_path / "log.parquet")
    run = tmp_path / "run"
    fitted = polytask.fit(log, ["click"], out=run, **OPTIONS)
    assert export(monkeypatch, run, "--check", tmp_path / "log.parquet") == 0
    printed = capsys.readouterr().out
    assert "2 columns -> click" in printed
    assert "% of what is allowed (256 rows)" in printed and "(1,000 rows)" in printed
    graph = run / "model.onnx"
    assert graph.is_file()
    # What is served is never the graph of other weights: those of a run that goes on, or of another one.
    RunFolder.open(run).write_weights(
        fitted.model, fitted.config, (run / "encoder.json").read_text()
    )
    assert not graph.exists()
    graph.write_bytes(b"a graph")
    fitted.save(run, overwrite=True)
    assert not graph.exists()
    graph.write_bytes(b"a graph")
    polytask.fit(log, ["click"], out=run, overwrite=True, **OPTIONS)
    assert not graph.exists()


def test_a_name_of_another_kind_of_file_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(monkeypatch, tmp_path / "no run", "--out", tmp_path / "log.parquet") == 2
    assert "ends with .onnx" in capsys.readouterr().err
    assert export(monkeypatch, tmp_path / "no run") == 2
    assert "no such run folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "needs", "words"),
    [
        (exporting, "onnxscript", r"pip install 'polytask\[onnx\]'"),
        (running, "uvicorn", r"pip install 'polytask\[serve\]'"),
    ],
)
def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, module: object, needs: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, needs, None)
    with pytest.raises(UserError, match=f"needs {needs}: {words}"):
        module._require_extra()  # type: ignore[attr-defined]
