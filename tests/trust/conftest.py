"""A small table, a finished run, an interrupted one, and command lines run here or in forks."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polytask.cli import main
from polytask.config import validate_config
from polytask.fitting import fit_events
from polytask.training.loop import TrainStep

OPTIONS = {
    "tasks": ["click:binary", "watch:regression"],
    "epochs": 2,
    "batch_size": 64,
    "num_experts": 2,
    "expert_hidden": (4,),
    "tower_hidden": (4,),
    "checkpoint_every": 2,
    "log_every": 1,
    "intervals": False,
    "threads": 1,
}
FIT = [
    *("--task", "click:binary", "--task", "watch:regression", "--epochs", "2", "--threads", "1"),
    *("--batch-size", "64", "--num-experts", "2", "--expert-hidden", "4", "--tower-hidden", "4"),
    *("--checkpoint-every", "2", "--log-every", "1", "--no-intervals"),
]


@pytest.fixture(scope="session")
def fit_options() -> list[str]:
    """OPTIONS on the command line."""
    return FIT


def make_table(num_rows: int = 400) -> pa.Table:
    rng = np.random.default_rng(0)
    x = rng.normal(size=num_rows)
    return pa.table(
        {
            "x": x,
            "c": rng.choice(list("abcd"), num_rows),
            "u": rng.integers(0, 20, num_rows),
            "click": (x + rng.normal(size=num_rows) > 0).astype(int),
            "watch": np.exp(x * 0.3 + rng.normal(size=num_rows)),
        }
    )


@dataclass(frozen=True)
class Outcome:
    """How a command ended; code None: it took too long."""

    code: int | None
    out: str
    err: str

    def refused(self, *words: str) -> None:
        """Exit code 2 and one message that holds these words, no traceback."""
        assert self.code == 2, f"exit code {self.code}\n{self.out}\n{self.err}"
        assert "Traceback" not in self.err and self.err.count("error:") >= 1, self.err
        for word in words:
            assert word in self.err, self.err

    def ended(self) -> None:
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"


Command = Callable[..., Outcome]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """A command line in this process; what is no SystemExit fails the test."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["polytask", *map(str, arguments)])
        handler = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as stopped:
            main()
        assert signal.getsignal(signal.SIGTERM) is handler
        printed = capsys.readouterr()
        return Outcome(int(stopped.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report takes longer than these runs do."""
    monkeypatch.setattr("polytask.fitting.session.write_report", lambda folder: None)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """table.parquet; `finished` and `interrupted` are runs on it, the latter with checkpoints."""
    # A report takes longer than the rest, and says the same every time.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("polytask.fitting.session.write_report", lambda folder: None)
        return _runs(tmp_path_factory)


def _runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("trust")
    table = home / "table.parquet"
    pq.write_table(make_table(), table)
    for name, steps in (("finished", 10**6), ("interrupted", 9)):
        config = validate_config({**OPTIONS, "table": str(table), "out": str(home / name)})
        events = fit_events(config)
        for event in events:
            steps -= isinstance(event, TrainStep)
            if steps == 0:
                events.close()
                break
    return home


@pytest.fixture
def table(home: Path) -> Path:
    return home / "table.parquet"


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(home / "finished", tmp_path / "run"))


@pytest.fixture
def interrupted(home: Path, tmp_path: Path) -> Path:
    """A copy of the interrupted run."""
    return Path(shutil.copytree(home / "interrupted", tmp_path / "interrupted"))


@dataclass(frozen=True)
class Running:
    """A command in a process of its own."""

    pid: int
    _ask: Callable[[dict[str, object]], dict[str, object]]

    def wait(self, seconds: float = 60) -> Outcome:
        return Outcome(**self._ask({"wait": self.pid, "seconds": seconds}))

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


class Forked:
    """Command lines in forks of one process, with limits of memory, file sizes and time."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forked_main.py")), *options],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, *arguments: object, **limits: int | str) -> Running:
        asked = {"start": [*map(str, arguments)], "folder": str(self.folder), **limits}
        return Running(self._ask(asked)["pid"], self._ask)

    def run(self, *arguments: object, seconds: float = 60, **limits: int | str) -> Outcome:
        return self.start(*arguments, **limits).wait(seconds)

    def close(self) -> None:
        self._process.communicate()

    def _ask(self, request: dict[str, object]) -> dict[str, object]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, object] = json.loads(self._process.stdout.readline())
        return answer


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """Without reports."""
    started = Forked(tmp_path_factory.mktemp("forked"), "--without-report")
    yield started
    started.close()


CLOCKS = {"train_seconds", "train_rows_per_second", "microseconds_per_row", "created"}


def without_clocks(value: object) -> object:
    if isinstance(value, dict):
        return {k: without_clocks(v) for k, v in value.items() if k not in CLOCKS}
    return [without_clocks(item) for item in value] if isinstance(value, list) else value


def _contents(run: Path) -> dict[str, object]:
    """All that a run left behind but clocks, its own place and its report."""
    found: dict[str, object] = {}
    for path in sorted(run.iterdir()):
        if path.suffix in (".json", ".jsonl"):
            texts = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
            found[path.name] = [without_clocks(json.loads(text)) for text in texts]
        elif path.name not in ("run.yaml", "report.html"):
            found[path.name] = path.read_bytes()
    return found


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, object]]:
    """All that a run left behind but clocks, its own place and its report."""
    return _contents


@pytest.fixture(scope="session")
def whole(home: Path) -> dict[str, object]:
    """What the finished run left behind."""
    return _contents(home / "finished")


@pytest.fixture
def go_on(table: Path, forked: Forked) -> Callable[[Path], None]:
    """To the end of a run: on, or from the start where nothing was begun."""

    def end(run: Path) -> None:
        if (run / "run.yaml").exists():
            forked.run("fit", "--resume", run).ended()
        else:
            forked.run("fit", table, *FIT, "--out", run).ended()

    return end
