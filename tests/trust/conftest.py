"""A small table, a finished run, an interrupted one, and command lines run here or in forks."""

import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forked import Forked, Outcome
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
