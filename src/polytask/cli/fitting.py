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
from rich.table import Column

from polytask.balancing import Ranks
from polytask.cli.stopping import told_how_to_resume
from polytask.cli.tables import (
    console_for_tables,
    show_auxiliary,
    show_cost,
    show_lines,
    show_results,
)
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
    continued_events,
    fit_events,
    resume_events,
)
from polytask.fitting.processes.torchrun import is_first, launched, number_of_restarts
from polytask.fitting.telling import finished_line, prepared_lines
from polytask.training.evaluation import Validation
from polytask.training.loop import TrainStep

_REDRAW_SECONDS = 0.2


def show_fit(
    config: FitConfig,
    table: TableSource | None = None,
    *,
    continues: bool = False,
    verbose: bool = False,
) -> None:
    """Fit and print; under torchrun the first process prints.

    `continues`: what the folder holds of this very run is not done again; processes that torchrun has
    started again do so by themselves.
    """
    begin = fit_events
    if continues or (number_of_restarts() and config.out is not None):
        begin = continued_events
    with told_how_to_resume(config.out if table is None else None), launched() as ranks:
        _show(begin(config, table, ranks=ranks), ranks, verbose=verbose)


def show_fit_on_ray(
    config: FitConfig, *, workers: int, continues: bool = False, verbose: bool = False
) -> None:
    """Fit in processes of a Ray cluster, whose first one prints, and print the table at the end."""
    from polytask.fitting.processes.on_ray import fit_on_ray

    run = fit_on_ray(config, workers=workers, continues=continues)
    _show_run(console_for_tables(), run, verbose=verbose)


def show_resumed(folder: Path, *, threads: int | None, verbose: bool = False) -> None:
    """Go on with an interrupted fit and print."""
    with told_how_to_resume(folder), launched() as ranks:
        _show(resume_events(folder, threads=threads, ranks=ranks), ranks, verbose=verbose)


def _show(events: Iterator[Event], ranks: Ranks | None, *, verbose: bool) -> None:
    if not is_first(ranks):
        for _ in events:
            pass
        return
    console = console_for_tables()
    run: Run | None = None
    with _Screen(console) as screen:
        for event in events:
            match event:
                case Notice():
                    show_lines(console, [f"note: {event.text}"])
                case Prepared():
                    show_lines(console, prepared_lines(event))
                case ModelStarted():
                    screen.start(event)
                case TrainStep():
                    screen.step(event)
                case ModelFinished():
                    screen.finish(event)
                case Finished():
                    run = event.run
    assert run is not None
    _show_run(console, run, verbose=verbose)


def _show_run(console: Console, run: Run, *, verbose: bool) -> None:
    show_results(console, run, verbose=verbose)
    if run.metrics.auxiliary is not None:
        show_auxiliary(console, run.metrics.auxiliary)
    show_cost(console, run.metrics)
    if run.config.out is not None:
        # Whatever its length, a path stays whole, so that it can be copied.
        places = f"\nrun: {run.config.out}\nreport: {run.config.out / 'report.html'}"
        console.print(places, markup=False, soft_wrap=True)


class _Screen:
    """A bar a model at a terminal; in pipes and logs a plain line a validation or epoch."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # The note gives way where the terminal is narrow, not the bar.
        self._bars = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=16, table_column=Column(min_width=16)),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            TextColumn(
                "{task.fields[note]}", markup=False, table_column=Column(ratio=1, no_wrap=True)
            ),
            console=console,
            disable=not console.is_terminal,
            expand=True,
        )
        self._model: ModelStarted | None = None
        self._bar = TaskID(0)
        self._epoch = 0
        self._drawn = 0.0
        self._validated = ""

    def __enter__(self) -> "_Screen":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def start(self, event: ModelStarted) -> None:
        progress = event.training.progress
        self._model, self._validated, self._epoch = event, "", progress.epoch
        self._bar = self._bars.add_task(
            visible(event.name), total=event.total_steps, completed=progress.step, note=""
        )
        if not self._console.is_terminal:
            goes_on = f", going on after step {progress.step}" if progress.step else ""
            self._console.print(f"training {event.name}{goes_on}")

    def step(self, step: TrainStep) -> None:
        assert self._model is not None
        progress = self._model.training.progress
        ended, self._epoch = progress.epoch > self._epoch, progress.epoch
        if step.validation is not None:
            self._validated = f"valid {_metrics(step.validation.metrics)}"
        rate = f"{progress.rows / max(progress.train_seconds, 1e-9):,.0f} rows/s"
        if self._console.is_terminal:
            now = time.monotonic()
            if step.validation is not None or now - self._drawn >= _REDRAW_SECONDS:
                self._drawn = now
                note = f"{rate} {self._validated} {_losses(self._model, step)}"
                self._bars.update(self._bar, completed=step.step, note=visible(note))
        elif ended or step.validation is not None:
            parts = [f"  epoch {step.epoch + 1}", f"step {step.step}", _losses(self._model, step)]
            if step.validation is not None:
                parts.append(f"{self._validated}{' (best)' if _is_best(step.validation) else ''}")
            self._console.print(", ".join([*parts, rate]))

    def finish(self, event: ModelFinished) -> None:
        steps = event.training.progress.step
        self._bars.update(self._bar, completed=steps, total=steps)
        if not self._console.is_terminal:
            self._console.print(f"  {finished_line(event)}", markup=False)


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


def _is_best(validation: Validation) -> bool:
    return validation.is_best and not math.isnan(validation.score)
