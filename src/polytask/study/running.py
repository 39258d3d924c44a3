"""study_events: what was asked for in, an answer that is rewritten after each training out."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module

import torch

from polytask.config import FitConfig
from polytask.config.study import Places, StudyConfig
from polytask.data.readers import TableSource
from polytask.errors import UserError
from polytask.fitting.events import Notice
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.preparing.sample import drawn
from polytask.fitting.processes.environment import borrowed
from polytask.fitting.run_folder.fingerprint import fingerprint_of
from polytask.fitting.storing.choosing import prepare_table
from polytask.records.study import StudyRecord
from polytask.study.agenda import Agenda
from polytask.study.checking import check
from polytask.study.conducting import Conductor
from polytask.study.configurations import Configuration, all_specs, configurations, reference
from polytask.study.events import Progressed, StudyEvent, StudyFinished
from polytask.study.folder import StudyFolder, free_path
from polytask.study.limits import Limits, share_of_memory
from polytask.study.pace import Pace
from polytask.study.processes import Processes, require_forks
from polytask.study.remarks import remarks
from polytask.study.report_writer import ReportWriter
from polytask.study.search import Space, network_space, tree_space
from polytask.study.storage import require_optuna
from polytask.study.store import TrialStore
from polytask.study.summary import StudySoFar, command_of
from polytask.study.trees import goals_with_trees, require_trees


def run_study(
    config: StudyConfig,
    table: TableSource | None = None,
    *,
    parts: Mapping[str, TableSource] | None = None,
) -> StudyRecord:
    """The whole comparison; `table` replaces the one that the options name, `parts` its "test" and "valid".

    What is kept, and the page, lie in the study's folder. UserErrors as of `study_events`.
    """
    for event in study_events(config, table, parts=parts):
        if isinstance(event, StudyFinished):
            return event.record
    raise AssertionError("study_events ends with StudyFinished")


def study_events(
    config: StudyConfig,
    table: TableSource | None = None,
    *,
    parts: Mapping[str, TableSource] | None = None,
    places: Places | None = None,
    folder: StudyFolder | None = None,
    joins: bool = False,
) -> Iterator[StudyEvent]:
    """Compare, an event after another; ends with StudyFinished.

    What has ended is on disk before the next training begins. `folder` is that of an earlier process that
    was stopped, or, with `joins`, of one at work on another machine. UserError, with its place where there
    is a file, for everything that the user can mend, before the first training.
    """
    started = time.monotonic()
    places = places or Places()
    if folder is None:
        free_path(config)
    require_optuna()
    require_forks()
    if "trees" not in config.leave_out:
        require_trees()
    _import_ahead(config)
    # One thread: the trainings are forks, and torch's threads do not survive a fork.
    with borrowed(1):
        fit, prepared = _prepared(config, table, parts)
        yield prepared
        prepared = drawn(prepared, fit, config.rows)
        trees = [] if "trees" in config.leave_out else goals_with_trees(prepared.tasks)
        compared = configurations(config, prepared, trees=trees)
        check(config, compared, prepared, places)
        notes = remarks(config, compared, prepared, trees)
        yield from (Notice(note) for note in notes)
        held = folder or StudyFolder.create(config)
        try:
            origin = fingerprint_of(prepared.config, prepared) | _origin(config)
            name = held.require_same(origin)
            store = _store(config, held, name)
            conductor = _conductor(config, prepared, compared, store, held, started, not joins)
            yield from _conducted(conductor, held, notes)
        finally:
            held.release()


def _import_ahead(config: StudyConfig) -> None:
    """What trainings would else import each for itself, in seconds."""
    if "trees" not in config.leave_out:
        import_module("sklearn.ensemble")
    if any(rule not in ("equal", "static", "rlw") for rule in config.balancers):
        import_module("torch.fx.experimental.symbolic_shapes")


def _prepared(
    config: StudyConfig, table: TableSource | None, parts: Mapping[str, TableSource] | None
) -> tuple[FitConfig, Prepared]:
    """The options that all share, and the table as they say it is read."""
    changes: dict[str, object] = {"auxiliary": all_specs(config), "trunk": config.all_trunks[0]}
    changes |= {"baseline": "none", "epochs": config.epochs or config.fit.epochs}
    fit = config.fit.model_copy(update=changes)
    prepared = prepare_table(fit, table, parts=parts)
    if prepared.test is None or not len(prepared.test):
        raise UserError(
            "a study is judged on test rows, which nothing is chosen by: name --test, or leave out "
            "--test-fraction=0"
        )
    if prepared.valid is None or not len(prepared.valid):
        raise UserError("trials are compared on validation rows: leave out --valid-fraction=0")
    if prepared.data_sets and any(config.auxiliary):
        raise UserError("sets of auxiliary tasks are compared on one table, but there are several")
    return fit, prepared


def _origin(config: StudyConfig) -> dict[str, str]:
    """The study's own options that change a result."""
    left_out = {
        "fit",
        "budget",
        "workers",
        "out",
        "overwrite",
        "storage",
        "trial_time",
        "trial_memory",
    }
    values = config.model_dump(mode="json", exclude=left_out)
    return {f"study {name}": repr(value) for name, value in values.items()}


def _store(config: StudyConfig, folder: StudyFolder, name: str) -> TrialStore:
    return TrialStore(
        url=config.storage or folder.storage,
        prefix=name,
        seed=config.seed,
        trials=config.trials,
        pruning=config.pruning,
        is_shared=config.storage is not None,
    )


def _conductor(
    config: StudyConfig,
    prepared: Prepared,
    compared: Sequence[Configuration],
    store: TrialStore,
    folder: StudyFolder,
    started: float,
    leads: bool,
) -> Conductor:
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    workers = config.workers or cores
    memory = _memory(config, workers)
    threads = config.fit.threads or max(cores // workers, 1)
    spaces = _spaces(config, prepared.config, compared)
    return Conductor(
        agenda=Agenda(config, compared, reference(compared), spaces),
        prepared=prepared,
        store=store,
        folder=folder,
        processes=Processes(workers, Limits(config.trial_time, memory, threads)),
        pace=Pace(started, config.budget),
        leads=leads,
    )


def _memory(config: StudyConfig, workers: int) -> int | None:
    """The bytes of a training; no limit where CUDA is used, which reserves addresses without end."""
    if config.trial_memory is not None:
        return int(1e9 * config.trial_memory)
    if config.fit.device != "cpu" and torch.version.cuda is not None:
        return None
    return share_of_memory(workers)


def _spaces(
    config: StudyConfig, fit: FitConfig, compared: Sequence[Configuration]
) -> dict[str, Space]:
    network, trees = network_space(config.search, fit), tree_space()
    return {
        each.name: trees if each.group == "trees" else network
        for each in compared
        if each.group != "static"
    }


def _conducted(
    conductor: Conductor, folder: StudyFolder, notes: tuple[str, ...]
) -> Iterator[StudyEvent]:
    left = conductor.enter()
    if left:
        yield Notice(f"{left} trainings that were stopped begin anew")
    summary = StudySoFar.of(conductor, command=command_of(folder.path / "study.yaml"), notes=notes)
    writer = ReportWriter(summary, folder, conductor.leads)
    yield Progressed(writer.write())
    for event in conductor.events():
        summary.read_finals()
        yield event
        yield Progressed(writer.write_if_due())
    # The last training may have been another machine's.
    conductor.read_lines()
    summary.read_finals()
    yield StudyFinished(writer.write(is_finished=True), folder.path)
