"""What a fit does to the process that called it: nothing that stays."""

import decimal
import gc
import locale
import os
import random
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import polytask
from polytask.training import loop
from polytask.training.loop import TrainStep
from polytask.training.memory import freed_memory_kept

TASKS = ["click:binary", "watch:regression"]
OPTIONS = {"epochs": 1, "batch_size": 64, "baseline": "none", "num_experts": 2}


@pytest.fixture(scope="module")
def rows(home: Path) -> pa.Table:
    return pq.read_table(home / "table.parquet")


def state() -> dict[str, object]:
    umask = os.umask(0)
    os.umask(umask)
    return {
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matrix products": torch.get_float32_matmul_precision(),
        "gradients": (torch.is_grad_enabled(), torch.is_anomaly_enabled()),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "torch's draws": torch.get_rng_state().tolist(),
        "numpy's draws": str(np.random.get_state()),
        "Python's draws": random.getstate(),
        "numpy's errors": np.geterr(),
        "warnings": [*warnings.filters],
        "signals": [signal.getsignal(number) for number in (2, 13, 15)],
        "environment": dict(os.environ),
        "folder": (Path.cwd(), umask),
        "Python": (gc.isenabled(), sys.getrecursionlimit(), sys.excepthook),
        "locale": locale.setlocale(locale.LC_ALL),
    }


def open_files() -> set[str]:
    """Fonts and libraries stay open once they are loaded."""
    links = [*Path("/proc/self/fd").iterdir()]
    found = {str(link.readlink()) for link in links if link.is_symlink()}
    return {name for name in found if name.startswith("/") and not name.endswith((".so", ".ttf"))}


def mistaken(rows: pa.Table, _: Path) -> None:
    with pytest.raises(polytask.UserError):
        polytask.fit(rows, ["nope"], threads=2)


def nothing_to_load(_: pa.Table, path: Path) -> None:
    with pytest.raises(polytask.UserError):
        polytask.load(path)


USES: dict[str, Callable[[pa.Table, Path], object]] = {
    "fit": lambda rows, path: polytask.fit(rows, TASKS, **OPTIONS, threads=2, out=path),
    "predict": lambda rows, path: polytask.fit(rows, TASKS, **OPTIONS).predict(rows),
    "a mistake": mistaken,
    "load": nothing_to_load,
}


@pytest.mark.parametrize("use", USES)
def test_all_settings_are_as_before(use: str, rows: pa.Table, tmp_path: Path) -> None:
    before, files, temporary = state(), open_files(), {*Path(tempfile.gettempdir()).iterdir()}
    USES[use](rows, tmp_path / "run")
    assert state() == before
    assert open_files() <= files
    new = {*Path(tempfile.gettempdir()).iterdir()} - temporary
    assert not [name for name in new if "polytask" in name.name]


def test_an_abandoned_fit_puts_all_back_when_it_is_closed(rows: pa.Table) -> None:
    before = state()
    config = polytask.config.validate_config({"tasks": TASKS, **OPTIONS, "threads": 2})
    events = polytask.fitting.fit_events(config, rows)
    for _ in range(4):
        next(events)
    events.close()
    assert state() == before


def test_malloc_keeps_what_is_freed_until_the_fit_ends(
    rows: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the setting works, and goes, is seen by faults in tests/training/test_memory.py: in this process it
    hangs on what lies in the heap."""
    open_now: list[bool] = []

    @contextmanager
    def counted() -> Iterator[None]:
        with freed_memory_kept():
            open_now.append(True)
            try:
                yield
            finally:
                open_now.pop()

    monkeypatch.setattr(loop, "freed_memory_kept", counted)
    config = polytask.config.validate_config({"tasks": TASKS, **OPTIONS, "threads": 1})
    events = polytask.fitting.fit_events(config, rows)
    next(event for event in events if isinstance(event, TrainStep))
    assert open_now
    events.close()
    assert not open_now


@contextmanager
def changed(on: Callable[[], object], off: Callable[[], object]) -> Iterator[None]:
    on()
    try:
        yield
    finally:
        off()


CALLER: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "doubles": lambda: changed(
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_default_dtype(torch.float32),
    ),
    "halves": lambda: changed(
        lambda: torch.set_default_dtype(torch.bfloat16),
        lambda: torch.set_default_dtype(torch.float32),
    ),
    "another device": lambda: changed(
        lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)
    ),
    "a device around it": lambda: torch.device("meta"),
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocasting": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "deterministic": lambda: changed(
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.use_deterministic_algorithms(False),
    ),
    "numpy's errors": lambda: np.errstate(all="raise"),
    "warnings are errors": lambda: warnings.catch_warnings(action="error"),
    "few digits": lambda: decimal.localcontext(decimal.Context(prec=3)),
    "another seed": lambda: changed(lambda: torch.manual_seed(5), lambda: None),
}


@pytest.fixture(scope="module")
def expected(rows: pa.Table) -> dict[str, torch.Tensor]:
    return polytask.fit(rows, TASKS, **OPTIONS).model.state_dict()


@pytest.mark.parametrize("setting", CALLER)
def test_settings_of_the_caller_make_no_other_model(
    setting: str, rows: pa.Table, expected: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    with CALLER[setting]():
        before = (torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled())
        run = polytask.fit(rows, TASKS, **OPTIONS, out=tmp_path / "run")
        predictions = polytask.load(tmp_path / "run").predict(rows)
        after = (torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled())
        assert after == before
    for name, weight in run.model.state_dict().items():
        assert weight.equal(expected[name]), name
    assert predictions.equals(run.predict(rows))


def test_two_fits_in_two_threads_do_not_disturb_each_other(
    rows: pa.Table, expected: dict[str, torch.Tensor]
) -> None:
    found: list[polytask.Run] = []
    fits = [
        threading.Thread(target=lambda: found.append(polytask.fit(rows, TASKS, **OPTIONS)))
        for _ in range(2)
    ]
    for fit in fits:
        fit.start()
    for fit in fits:
        fit.join()
    assert len(found) == 2
    for run in found:
        assert all(weight.equal(expected[n]) for n, weight in run.model.state_dict().items())
