"""fit: a table in; a trained and evaluated run out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

import torch
from torch import nn

from polytask.balancing import Ranks
from polytask.config import FitConfig, FitOptions, validate_config
from polytask.config.build import describe_task
from polytask.data.readers import TableSource
from polytask.fitting.comparing.comparison import Trained, summarize
from polytask.fitting.events import Event, Finished, ModelFinished, ModelStarted, Notice
from polytask.fitting.figures.explain import explain_trunk
from polytask.fitting.figures.figures import make_figures
from polytask.fitting.history import step_record, validation_record
from polytask.fitting.plan import ModelPlan, multi_task, single_task, start_training
from polytask.fitting.preparing.prepare import Prepared, prepare
from polytask.fitting.processes.environment import borrowed, pick_device
from polytask.fitting.processes.torchrun import is_first, raise_on_all
from polytask.fitting.run_folder.folder import RunFolder, check_free
from polytask.fitting.run_folder.loading import load
from polytask.fitting.run_folder.run import Run
from polytask.fitting.run_folder.run_checkpoints import RunCheckpoints
from polytask.fitting.warm_start import warm_start
from polytask.records import HistoryRecord, append_history, read_history
from polytask.report import write_report
from polytask.task import Task
from polytask.training.loop import TrainStep, train
from polytask.training.run import TrainingRun

_WATCHED_ROWS = 1024


def fit(
    table: TableSource,
    tasks: Sequence[str | Task],
    *,
    encoder: nn.Module | None = None,
    **options: Unpack[FitOptions],
) -> Run:
    """Train one model for all tasks of a table, and one a task to compare it with.

    tasks: [NAME=]COLUMN[:KIND[:YES]], as on the command line, or tasks such as binary("click").
    `test` and `valid` may be tables.
    encoder: any module (numeric_BN, categorical_BC) -> (B, out_features) in the place of ours.
    Options are those of `polytask fit`. Raises UserError for what the user can mend.
    """
    described = [describe_task(task) if isinstance(task, Task) else task for task in tasks]
    values: dict[str, object] = {"tasks": described, **options}
    parts: dict[str, TableSource] = {}
    for part, source in (("test", options.get("test")), ("valid", options.get("valid"))):
        if source is not None and not isinstance(source, str | Path):
            parts[part] = source
            del values[part]
    config = validate_config(values)
    for event in fit_events(config, table, encoder=encoder, parts=parts):
        if isinstance(event, Finished):
            return event.run
    raise AssertionError("fit_events ends with Finished")


def fit_events(
    config: FitConfig,
    table: TableSource | None = None,
    *,
    encoder: nn.Module | None = None,
    parts: dict[str, TableSource] | None = None,
    ranks: Ranks | None = None,
) -> Iterator[Event]:
    """The same as a sequence of events; what is computed is on disk before the next begins.

    With `ranks` every process goes through them; only the first one evaluates, writes and Finishes.
    """
    raise_on_all(ranks, lambda: _check_out(config) if is_first(ranks) else None)
    yield from train_and_compare(config, table, encoder=encoder, parts=parts or {}, ranks=ranks)


def _check_out(config: FitConfig) -> None:
    if config.out is not None:
        check_free(config.out, overwrite=config.overwrite)


def train_and_compare(
    config: FitConfig,
    table: TableSource | None,
    *,
    encoder: nn.Module | None,
    parts: Mapping[str, TableSource],
    ranks: Ranks | None,
    interrupted: RunFolder | None = None,
) -> Iterator[Event]:
    """The events of a new fit, or of what is left of an `interrupted` one."""
    with borrowed(config.threads):
        device = raise_on_all(ranks, lambda: pick_device(config.device, ranks))
        prepared = raise_on_all(ranks, lambda: prepare(config, table, parts=parts))
        yield prepared
        fitting = _Fitting(prepared.config, prepared, device, encoder, ranks)
        if interrupted is not None:
            raise_on_all(ranks, lambda: fitting.go_on(interrupted))
        yield from fitting.run(multi_task(prepared))
        if prepared.config.baseline == "single":
            for position, task in enumerate(prepared.tasks):
                if not task.auxiliary:
                    yield from fitting.run(single_task(prepared, position))
        if is_first(ranks):
            yield Finished(fitting.finish())


@dataclass(slots=True, eq=False)
class _Fitting:
    """The models trained so far, and what is kept of them on disk."""

    config: FitConfig
    prepared: Prepared
    device: torch.device
    encoder: nn.Module | None
    ranks: Ranks | None
    kept: RunCheckpoints | None = None
    number: int = 0
    history: list[HistoryRecord] = field(default_factory=list)
    trained: list[Trained] = field(default_factory=list)
    has_warned: bool = False

    @property
    def folder(self) -> RunFolder | None:
        return None if self.kept is None else self.kept.folder

    def go_on(self, interrupted: RunFolder) -> None:
        """Keep on in the folder of an interrupted run."""
        if is_first(self.ranks):
            self.kept = RunCheckpoints.resume(
                interrupted, self.prepared, config=self.config, encoder=self.encoder
            )

    def run(self, assignment: ModelPlan) -> Iterator[Event]:
        """Train one model, or what is left of it: started, its steps, finished."""
        run = start_training(
            self.config,
            self.prepared,
            assignment,
            device=self.device,
            encoder=self.encoder,
            ranks=self.ranks,
        )
        yield from raise_on_all(
            self.ranks, lambda: self._begin(run) if is_first(self.ranks) else []
        )
        steps = run.steps_per_epoch(len(assignment.train)) * run.settings.epochs
        yield ModelStarted(assignment.name, run, steps)
        for step in train(run, assignment.train, valid=assignment.valid):
            if is_first(self.ranks):
                self._log(assignment.name, run, step)
            if self.kept is not None:
                self.kept.after_step(run, step, number=self.number)
            yield step
            yield from self._warn_of_collapse(run, step, assignment)
        if self.kept is not None:
            self.kept.after_training(run, number=self.number)
        if is_first(self.ranks):
            self.trained.append(Trained.of(assignment, run, self.prepared, config=self.config))
        self.number += 1
        yield ModelFinished(assignment.name, run)

    def _warn_of_collapse(
        self, run: TrainingRun, step: TrainStep, assignment: ModelPlan
    ) -> Iterator[Notice]:
        """Once, at the first validation after which experts of the multi-task model are of no use."""
        if step.validation is None or assignment.valid is None or self.number > 0:
            return
        if self.has_warned or not is_first(self.ranks):
            return
        collapse = explain_trunk(
            run.model, assignment.valid.inputs, most_rows=_WATCHED_ROWS
        ).collapse
        if collapse is not None:
            self.has_warned = True
            yield Notice(f"step {step.step:,}: {collapse}")

    def finish(self) -> Run:
        """Metrics and figures of all models, written with a report where the run has a folder."""
        multi = self.trained[0]
        processes = 1 if self.ranks is None else self.ranks.world
        run = Run(
            self.config,
            self.prepared.columns,
            self.prepared.targets,
            multi.model,
            summarize(self.config, self.prepared, self.trained, processes=processes),
            self.history,
            make_figures(self.config, self.prepared, multi.model, multi.rows),
        )
        if self.folder:
            run.write_records(self.folder.path)
            write_report(self.folder.path)
            # The last act: as long as there are checkpoints, the run is not finished.
            self.folder.remove_checkpoints()
        return run

    def _begin(self, run: TrainingRun) -> list[Notice]:
        """Bring a fresh model to where it starts; before the first one of a new run make the folder."""
        notices = self._restore(run)
        if self.number == 0 and self.kept is None and self.config.out is not None:
            folder = RunFolder.create(self.config.out, overwrite=self.config.overwrite)
            self.kept = RunCheckpoints.start(
                folder, self.prepared, config=self.config, encoder=self.encoder
            )
        return notices

    def _restore(self, run: TrainingRun) -> list[Notice]:
        """Bring a fresh model to its newest checkpoint, or to the weights of --init-from."""
        notices = []
        if self.kept is not None and self.kept.is_resuming:
            restored = self.kept.restore(run, self.number)
            self.history = read_history(self.kept.folder.path)
            notices = [Notice(text) for text in restored.notices]
            if restored.log_bytes is not None:
                return notices
        if self.config.init_from is not None and self.number == 0:
            source = load(self.config.init_from)
            warm_start(run.model, self.prepared.columns, source.model, source.columns)
        return notices

    def _log(self, name: str, run: TrainingRun, step: TrainStep) -> None:
        records: list[HistoryRecord] = []
        # The first step is always there: the report measures all losses by it.
        if step.step == 1 or step.step % self.config.log_every == 0:
            records.append(step_record(name, run, step))
        if step.validation is not None:
            records.append(validation_record(name, run, step.validation))
        for record in records:
            self.history.append(record)
            if self.folder:
                append_history(self.folder.path, record)
