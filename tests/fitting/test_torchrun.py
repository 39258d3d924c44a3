"""`torchrun -m polytask fit`: the figures of one process, one voice, and a run that can be resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from polytask.balancing import Ranks
from polytask.cli import commands
from polytask.errors import UserError
from polytask.fitting.processes.environment import pick_device
from polytask.fitting.processes.torchrun import is_first, launched, raise_on_all

FIT = [
    *("--task", "click:binary", "--task", "watch=watch_seconds:regression"),
    *("--transform", "watch=log1p", "--after", "like,follow", "--balancer", "nash_mtl"),
    *("--num-experts", "2", "--expert-hidden", "8", "--batch-size", "255", "--epochs", "2"),
    *("--validations-per-epoch", "2", "--log-every", "1", "--no-intervals", "--threads", "1"),
    *("--valid-fraction", "0.0125", "--test-fraction", "0.0125"),
    # Users and videos are stepped row by row. (At 500 one of 8,696 numbers has a first gradient of 2e-8, a sum
    # that cancels among others of 1e-4: Adam makes a step of what the rounding of two processes left of it.)
    *("--input-options", "{categorical: {sparse_above: 150}}"),
]
# Nash-MTL's weights make of a rounding of 2e-7 in the first step 1e-2 in the twentieth; equal ones do not.
EQUALLY = [*FIT, "--balancer", "equal"]


def test_without_torchrun_nothing_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with launched() as ranks:
        assert ranks is None
    assert not torch.distributed.is_initialized()
    assert is_first(None)
    assert raise_on_all(None, lambda: 3) == 3


class Two(Ranks):
    """This rank, and one whose UserErrors are `others`."""

    others = ""

    def gather(self, value: str) -> list[str]:
        return [value, self.others]


def test_an_error_of_one_rank_is_one_of_all() -> None:
    ranks = Two()
    assert raise_on_all(ranks, lambda: 3) == 3
    Two.others = "the disk is full"
    with pytest.raises(UserError, match="the disk is full"):
        raise_on_all(ranks, lambda: 3)

    def fail() -> None:
        raise UserError("no such column")

    with pytest.raises(UserError, match="no such column"):
        raise_on_all(ranks, fail)


def test_every_rank_needs_a_cuda_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device("auto", Ranks()) == torch.device("cuda", 1)
    assert chosen == [1]
    assert pick_device("cpu", Ranks()) == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match=r"start 2 .*nproc-per-node"):
        pick_device("cuda", Ranks())


def test_the_first_process_speaks_before_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    monkeypatch.setattr(sys, "argv", ["polytask", "fit", "none.parquet", "--task", "click"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, seconds in (("0", []), ("1", [10.0])):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setattr(commands, "app", lambda: commands._stop("no such table"))
        with pytest.raises(SystemExit) as stopped:
            commands.main()
        assert stopped.value.code == 2
        assert waited == seconds
        assert "no such table" in capsys.readouterr().err


def torchrun(
    *arguments: str,
    folder: Path,
    stop_at: str = "",
    kill_at: tuple[str, ...] = (),
    restarts: int = 0,
) -> subprocess.CompletedProcess[str]:
    """Two processes.

    Both are stopped in the first step after `stop_at` was written, if it is said; the second alone is
    killed after each of `kill_at`.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--max-restarts", str(restarts), "-m", "polytask", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        while stop_at and process.poll() is None:
            if (folder / stop_at).exists():
                process.terminate()
                break
        for path in kill_at:
            while process.poll() is None and not (folder / path).exists():
                time.sleep(0.005)
            kill_rank(1, of=process.pid)
        out, err = process.communicate(timeout=200)
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def kill_rank(rank: int, *, of: int) -> None:
    """As where memory is short: nothing of the process's own is done any more."""
    children = Path(f"/proc/{of}/task/{of}/children").read_text().split()
    for child in children:
        variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        if f"RANK={rank}".encode() in variables:
            os.kill(int(child), signal.SIGKILL)


def alone(*arguments: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "polytask", *arguments], cwd=folder, check=True)


def figures(run: Path) -> dict[str, float]:
    """All numbers of metrics.json but clocks, by their path."""
    found: dict[str, float] = {}

    def walk(value: object, path: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{path}/{key}")
        elif isinstance(value, list):
            for place, inner in enumerate(value):
                walk(inner, f"{path}/{place}")
        elif isinstance(value, int | float):
            found[path] = float(value)

    metrics = json.loads((run / "metrics.json").read_text())
    walk(metrics["tasks"], "tasks")
    return found


def assert_same_weights(one: Path, two: Path) -> None:
    """Of two run folders."""
    first, second = (load_file(run / "model.safetensors") for run in (one, two))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def folder(log: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torchrun")
    pq.write_table(log.slice(0, 3139), path / "log.parquet")
    return path


@pytest.mark.slow
def test_two_processes_find_what_one_finds(folder: Path) -> None:
    """The last batch has one row, so that the first process has none of it.

    Validation and test have 39 rows, 700 pairs, for AUC and XAUC are sums of steps. Two processes
    round otherwise, by 5e-7 of the predictions' spread; of 319 rows' 50,000 pairs one was nearer
    than that, was ordered otherwise, and moved XAUC by 4e-5.
    """
    alone("fit", "log.parquet", *FIT, "--out", "one", folder=folder)
    ended = torchrun("fit", "log.parquet", *FIT, "--out", "two", folder=folder)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("run: two") == 1
    one, two = figures(folder / "one"), figures(folder / "two")
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-5, abs=1e-5), name
    assert_same_weights(folder / "one", folder / "two")
    lines = [(folder / run / "steps.jsonl").read_text().splitlines() for run in ("one", "two")]
    assert len(lines[0]) == len(lines[1])
    speed = json.loads((folder / "two" / "metrics.json").read_text())
    assert speed["environment"]["processes"] == 2


@pytest.mark.slow
def test_two_processes_that_read_their_shares_of_a_table_on_disk_find_what_one_finds(
    folder: Path,
) -> None:
    """Which rows a batch has follows from the store alone, and each process reads its lanes of it."""
    options = [*EQUALLY, "--baseline", "none", "--on-disk", "always", "--cache", "cache"]
    alone("fit", "log.parquet", *options, "--out", "one-stored", folder=folder)
    ended = torchrun("fit", "log.parquet", *options, "--out", "two-stored", folder=folder)
    assert ended.returncode == 0, ended.stderr
    assert_same_weights(folder / "one-stored", folder / "two-stored")
    one, two = figures(folder / "one-stored"), figures(folder / "two-stored")
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-5, abs=1e-5), name


@pytest.mark.slow
def test_two_processes_end_with_a_table_of_one_block_as_one_does(folder: Path) -> None:
    """Forty rows are fewer than the lanes; the last batch of each epoch is one row, so that one process has none."""
    pq.write_table(pq.read_table(folder / "log.parquet").slice(0, 40), folder / "few.parquet")
    options = [*EQUALLY, "--baseline", "none", "--on-disk", "always", "--cache", "cache-few"]
    options += ["--batch-size", "3", "--valid-fraction", "0", "--test-fraction", "0", "--no-linear"]
    alone("fit", "few.parquet", *options, "--out", "one-few", folder=folder)
    ended = torchrun("fit", "few.parquet", *options, "--out", "two-few", folder=folder)
    assert ended.returncode == 0, ended.stderr
    assert_same_weights(folder / "one-few", folder / "two-few")


@pytest.mark.slow
def test_two_processes_make_the_bag_that_one_makes(folder: Path) -> None:
    options = [*EQUALLY, "--baseline", "none", "--bag", "2"]
    alone("fit", "log.parquet", *options, "--out", "one-bag", folder=folder)
    ended = torchrun("fit", "log.parquet", *options, "--out", "two-bag", folder=folder)
    assert ended.returncode == 0, ended.stderr
    assert_same_weights(folder / "one-bag", folder / "two-bag")
    one, two = figures(folder / "one-bag"), figures(folder / "two-bag")
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-5, abs=1e-5), name


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_bits(folder: Path) -> None:
    """With dropout, whose masks differ between the processes and from those of one process."""
    options = [*FIT, "--dropout", "0.2", "--checkpoint-every", "1", "--baseline", "none"]
    torchrun("fit", "log.parquet", *options, "--out", "whole", folder=folder)
    stop_at = "broken/checkpoints/0/step-0000000007"
    broken = torchrun(
        "fit", "log.parquet", *options, "--out", "broken", folder=folder, stop_at=stop_at
    )
    assert broken.returncode != 0
    assert not (folder / "broken" / "metrics.json").exists()
    resumed = torchrun("fit", "--resume", "broken", folder=folder)
    assert resumed.returncode == 0, resumed.stderr
    first, second = (load_file(folder / run / "model.safetensors") for run in ("whole", "broken"))
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())


@pytest.mark.slow
def test_the_same_command_restarted_after_a_kill_ends_with_the_same_bits(folder: Path) -> None:
    """The second process is killed twice: in the first model, and in the second; nobody says resume."""
    options = [*FIT, "--dropout", "0.2", "--checkpoint-every", "1", "--log-every", "1"]
    torchrun("fit", "log.parquet", *options, "--out", "undisturbed", folder=folder)
    kill_at = tuple(f"killed/checkpoints/{model}/step-0000000007" for model in (0, 1))
    ended = torchrun(
        *("fit", "log.parquet", *options, "--out", "killed"),
        folder=folder,
        kill_at=kill_at,
        restarts=2,
    )
    assert ended.returncode == 0, ended.stderr
    assert "going on after step" in ended.stdout
    first, second = (
        load_file(folder / run / "model.safetensors") for run in ("undisturbed", "killed")
    )
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())
    one, two = figures(folder / "undisturbed"), figures(folder / "killed")
    assert one == two
    again = torchrun("fit", "log.parquet", *options, "--continue", "--out", "killed", folder=folder)
    assert again.returncode == 0 and "nothing was left to do" in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--task", "nosuch"], "the table lacks a column: 'nosuch'"),
        (["--task", "click", "--epochs", "x"], "epochs: input should be a valid integer"),
        (["--task", "click", "--ignore", "watch_seconds", "--learning-rate", "1e30"], "not finite"),
    ],
)
def test_a_mistake_is_told_once(options: list[str], message: str, folder: Path) -> None:
    ended = torchrun("fit", "log.parquet", *options, folder=folder)
    assert ended.returncode != 0
    assert ended.stderr.count("error: ") == 1 and message in ended.stderr
    assert "exitcode  : 2" in ended.stderr
