"""`fit` as a person sees it: what was read, the progress, the table at the end."""

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from polytask.balancing import Ranks
from polytask.cli.stopping import told_how_to_resume
from polytask.cli.tables import console_for_tables, show_cost, show_prepared, show_results
from polytask.cli.visible import visible
from polytask.config import FitConfig
from polytask.data.readers import TableSource
from polytask.fitting import (
    Event,
    Finished,
    ModelFinished,
    ModelStarted,
    Notice,
    Prepared,
    Run,
    fit_events,
    resume_events,
)
from polytask.fitting.processes.torchrun import is_first, launched
from polytask.training.loop import TrainStep

_REDRAW_SECONDS = 0.2


def show_fit(config: FitConfig, table: TableSource | None = None) -> None:
    """Fit and print; under torchrun the first process prints."""
    with told_how_to_resume(config.out if table is None else None), launched() as ranks:
        _show(fit_events(config, table, ranks=ranks), ranks)


def show_resumed(folder: Path, *, threads: int | None) -> None:
    """Go on with an interrupted fit and print."""
    with told_how_to_resume(folder), launched() as ranks:
        _show(resume_events(folder, threads=threads, ranks=ranks), ranks)


def _show(events: Iterator[Event], ranks: Ranks | None) -> None:
    if not is_first(ranks):
        for _ in events:
            pass
        return
    console = console_for_tables()
    screen = _Bars(console) if console.is_terminal else _Lines(console)
    run: Run | None = None
    with screen:
        for event in events:
            match event:
                case Notice():
                    console.print(f"note: {event.text}", style="yellow")
                case Prepared():
                    show_prepared(console, event)
                case ModelStarted():
                    screen.start(event)
                case TrainStep():
                    screen.step(event)
                case ModelFinished():
                    screen.finish(event)
                case Finished():
                    run = event.run
    assert run is not None
    show_results(console, run)
    show_cost(console, run.metrics)
    if run.config.out is not None:
        console.print(f"\nrun: {run.config.out}\nreport: {run.config.out / 'report.html'}")


class _Lines:
    """One plain line a validation (or epoch), for pipes and logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._model: ModelStarted | None = None

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def start(self, event: ModelStarted) -> None:
        self._model = event
        progress = event.training.progress
        self._epoch = progress.epoch
        goes_on = f", going on after step {progress.step}" if progress.step else ""
        self._console.print(f"training {event.name}{goes_on}")

    def step(self, step: TrainStep) -> None:
        assert self._model is not None
        run = self._model.training
        ended = run.progress.epoch > self._epoch
        self._epoch = run.progress.epoch
        if not ended and step.validation is None:
            return
        rate = run.progress.rows / max(run.progress.train_seconds, 1e-9)
        parts = [f"  epoch {step.epoch + 1}", f"step {step.step}", _losses(self._model, step)]
        if step.validation is not None:
            is_best = step.validation.is_best and not math.isnan(step.validation.score)
            best = " (best)" if is_best else ""
            parts.append(f"valid {_metrics(step.validation.metrics)}{best}")
        self._console.print(", ".join([*parts, f"{rate:,.0f} rows/s"]))

    def finish(self, event: ModelFinished) -> None:
        progress = event.training.progress
        self._console.print(f"  {progress.step} steps in {progress.train_seconds:.1f} s")


class _Bars:
    """One bar a model, with the loss of each task, the last validation and rows a second."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
        )
        self._model: ModelStarted | None = None
        self._bar = TaskID(0)
        self._drawn = 0.0
        self._validated = ""

    def __enter__(self) -> "_Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, event: ModelStarted) -> None:
        self._model, self._validated = event, ""
        self._bar = self._progress.add_task(visible(event.name), total=event.total_steps, note="")

    def step(self, step: TrainStep) -> None:
        assert self._model is not None
        if step.validation is not None:
            self._validated = f"valid {_metrics(step.validation.metrics)}"
        now = time.monotonic()
        if step.validation is None and now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        progress = self._model.training.progress
        rate = progress.rows / max(progress.train_seconds, 1e-9)
        note = f"{_losses(self._model, step)} {self._validated} {rate:,.0f} rows/s"
        self._progress.update(self._bar, completed=step.step, note=visible(note))

    def finish(self, event: ModelFinished) -> None:
        steps = event.training.progress.step
        self._progress.update(self._bar, completed=steps, total=steps)


def _losses(model: ModelStarted, step: TrainStep) -> str:
    names = [task.name for task in model.training.model.tasks]
    decided = step.balancing
    shown = zip(names, decided.losses_T.tolist(), decided.active_T.tolist())
    return "loss " + " ".join(f"{name} {loss:.4f}" for name, loss, active in shown if active)


def _metrics(metrics: Mapping[str, Mapping[str, float]]) -> str:
    return " ".join(
        f"{task} {name} {'undefined' if math.isnan(value) else f'{value:.4f}'}"
        for task, values in metrics.items()
        for name, value in values.items()
    )
