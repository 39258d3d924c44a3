"""`polytask fit --on ray`: the ranks of torchrun, placed by Ray Train, and started again when one dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch import distributed

from polytask.cli import main
from polytask.config import validate_config
from polytask.errors import UserError
from polytask.fitting.processes.on_ray import _work

FIT = [
    *("--task", "click", "--task", "like", "--ignore", "watch_seconds,follow"),
    *("--expert-hidden", "8", "--batch-size", "256", "--epochs", "2", "--no-intervals"),
    *("--baseline", "none", "--dropout", "0.2", "--checkpoint-every", "1", "--threads", "1"),
]


def train_processes(of: Path) -> list[int]:
    """The processes that Ray Train has started for this run: their working folder tells them."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            is_rank = b"TrainWorker" in (process / "cmdline").read_bytes()
            if is_rank and (process / "cwd").resolve() == of.resolve():
                found.append(int(process.name))
        except (OSError, ValueError):
            continue
    return sorted(found)


def fit(folder: Path, *arguments: str, kill_at: str = "") -> str:
    """The command's output; one of its processes is killed when `kill_at` is there."""
    command = [sys.executable, "-m", "polytask", "fit", "log.parquet", *FIT, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        while kill_at and process.poll() is None and not (folder / kill_at).exists():
            time.sleep(0.005)
        if kill_at:
            os.kill(train_processes(folder)[-1], signal.SIGKILL)
        out, _ = process.communicate(timeout=400)
    assert process.returncode == 0, out
    return out


@pytest.mark.slow
def test_a_process_that_is_killed_costs_no_bit(log: pa.Table, tmp_path: Path) -> None:
    """Two processes under Ray, one of which is killed, end with the weights of two under torchrun."""
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'polytask[ray]')")
    pq.write_table(log.slice(0, 3139), tmp_path / "log.parquet")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    alike = [*launcher, "-m", "polytask", "fit", "log.parquet", *FIT, "--out", "torchrun"]
    subprocess.run(alike, cwd=tmp_path, check=True, capture_output=True)
    on_ray = ("--on", "ray", "--workers", "2", "--out", "ray")
    out = fit(tmp_path, *on_ray, kill_at="ray/checkpoints/0/step-0000000007")
    assert "run: ray" in out
    first, second = (load_file(tmp_path / run / "model.safetensors") for run in ("torchrun", "ray"))
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())
    assert "nothing was left to do" in fit(tmp_path, *on_ray, "--continue")
    assert not (tmp_path / ".ray.ray").exists()


@pytest.fixture(autouse=True)
def same_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of Ray's moves to the folder of the command."""
    monkeypatch.chdir(Path.cwd())


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone, as Ray makes it before a process begins."""
    store = (tmp_path / "store").as_uri()
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_a_process_begins_continues_and_prints(
    group: None, clicks: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(clicks.slice(0, 800), tmp_path / "log.parquet")
    values = {"table": "log.parquet", "tasks": ["click"], "ignore": "like,follow", "epochs": 1}
    values |= {"threads": 1, "expert_hidden": (4,), "intervals": False, "baseline": "none"}
    config = validate_config({**values, "out": "run"})
    mistake = tmp_path / "mistake"
    asked = {"config": config, "folder": str(tmp_path), "mistake": mistake}
    for said in ("multi-task: ", "nothing was left to do"):
        _work(asked)
        assert said in capsys.readouterr().out
    assert not mistake.exists()


def test_what_the_user_can_mend_is_not_tried_again(group: None, tmp_path: Path) -> None:
    config = validate_config({"table": "none.parquet", "tasks": ["click"], "out": "run"})
    mistake = tmp_path / "mistake"
    asked = {"config": config, "folder": str(tmp_path), "mistake": mistake}
    with pytest.raises(UserError):
        _work(asked)
    assert "none.parquet" in mistake.read_text()
    _work(asked)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--on", "spark"], "the one engine is ray"),
        (["--on", "ray"], "needs the number of its processes"),
        (["--workers", "2"], "pass both"),
        (["--on", "ray", "--workers", "2"], "needs a folder that all machines see|not installed"),
    ],
)
def test_what_ray_cannot_do_is_said(
    options: list[str], said: str, log_file: Path, monkeypatch, capsys
) -> None:
    command = ["polytask", "fit", str(log_file), "--task", "click", *options]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert any(words in error for words in said.split("|"))
