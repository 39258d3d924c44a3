"""transfer_events: a table and its tasks in, transfer.json and a page out; resumable at any moment."""

import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, Unpack

from polytask.config import FitConfig, validate_config
from polytask.config.keywords import FitOptions
from polytask.data.readers import TableSource
from polytask.errors import UserError
from polytask.fitting.bagging import refuse_bag
from polytask.fitting.budget import budget_in_words
from polytask.fitting.events import Notice
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.preparing.sample import drawn
from polytask.fitting.preparing.words import refuse_words
from polytask.fitting.processes.environment import borrowed, pick_device
from polytask.fitting.storing.choosing import prepare_table
from polytask.records.transfer import (
    GroupingRecord,
    Remedy,
    TrainingRecord,
    TransferOptions,
    TransferRecord,
    TransferTask,
)
from polytask.report.transfer import write_transfer_report
from polytask.transfer.comparing import Setting
from polytask.transfer.folder import TransferFolder
from polytask.transfer.grouping import Group
from polytask.transfer.rare import set_aside
from polytask.transfer.sets import training_sets
from polytask.transfer.study import Findings, Study, Variant, by_affinity, find, recommended
from polytask.transfer.summary import (
    APART,
    BY_AFFINITY,
    RECOMMENDED,
    TOGETHER,
    Facts,
    grouping_records,
    remedy,
    summarise,
    transfer_task,
)
from polytask.transfer.trainings import Outcome, Trainings, TrainingSpec

_REMEDIES = (
    Variant("trunk ple", trunk="ple"),
    Variant("balancer upgrad", balancer="upgrad"),
)


@dataclass(frozen=True, slots=True)
class TrainingEnded:
    """One training is done: the `number`-th so far; `is_new` unless an earlier process did it."""

    record: TrainingRecord
    number: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class TransferFinished:
    """All is measured, and written where there is a folder."""

    record: TransferRecord
    folder: Path | None


TransferEvent: TypeAlias = Notice | Prepared | TrainingEnded | TransferFinished


def measure(
    table: TableSource,
    tasks: Sequence[str],
    *,
    study: TransferOptions | None = None,
    **options: Unpack[FitOptions],
) -> TransferRecord:
    """Which tasks of a table help each other, and which to train together, as measured.

    tasks: [NAME=]COLUMN[:KIND[:YES]], as on the command line; the other options are those of
    `polytask.fit`. With `out` the study is kept there and a page is written beside it.
    """
    config = validate_config({"tasks": list(tasks), **options})
    for event in transfer_events(config, study, table):
        if isinstance(event, TransferFinished):
            return event.record
    raise AssertionError("transfer_events ends with TransferFinished")


def transfer_events(
    config: FitConfig,
    options: TransferOptions | None = None,
    table: TableSource | None = None,
    *,
    folder: TransferFolder | None = None,
) -> Iterator[TransferEvent]:
    """Measure how tasks help each other, an event after another; ends with TransferFinished.

    What has ended is on disk before the next training begins; `folder` is that of an earlier process
    that was stopped. UserError for what the user can mend, before the first training.
    """
    options = options or TransferOptions()
    with borrowed(config.threads):
        device = pick_device(config.device)
        prepared = prepare_table(config, table)
        refuse_words(prepared.tasks, "transfer")
        refuse_bag(prepared.config, "transfer")
        _check(prepared)
        yield prepared
        prepared = drawn(prepared, config, options.rows)
        kept, few = set_aside(prepared)
        sets = training_sets(len(kept.tasks), options)
        trainings, every = (
            Trainings(each, device, first_seed=config.seed) for each in (kept, prepared)
        )
        study = Study(trainings, options, sets, _variants(options))
        trainings.check([study.spec(Setting(group), 0) for group in sets.required])
        every.check([TrainingSpec((position,), 0) for position in few])
        held = folder or TransferFolder.create(config, options)
        try:
            if held is not None:
                held.require_same(every.config, prepared)
                trainings.folder = every.folder = held.path
            aside = [transfer_task(every, position) for position in few]
            yield from _measured(study, aside, held, config)
        finally:
            if held is not None:
                held.release()


def _check(prepared: Prepared) -> None:
    if len(prepared.tasks) < 2:
        raise UserError(
            f"transfer is between tasks, but there is one: {prepared.tasks[0].name!r}; name another "
            "--task"
        )
    if prepared.valid is None or not len(prepared.valid):
        raise UserError("transfer is measured on validation rows: leave out --valid-fraction=0")


def _measured(
    study: Study,
    aside: Sequence[TransferTask],
    folder: TransferFolder | None,
    config: FitConfig,
) -> Iterator[TransferEvent]:
    few = [f"{task.name} ({task.too_few})" for task in aside]
    if few:
        yield Notice(f"trained alone only, for there are too few labels: {', '.join(few)}")
    yield Notice(study.sets.in_words)
    yield Notice(f"each: {budget_in_words(study.trainings.config, len(study.trainings.train))}")
    told = _Teller(study)
    yield from told.events(study.train_sets())
    tasks = [transfer_task(study.trainings, position) for position in study.everything]
    findings = find(study)
    partitions = _partitions(study, findings, tasks)
    for groups in partitions.values():
        missing = [Setting(group) for group in groups if len(group) > 1]
        if study.can_train(missing):
            yield from told.events(study.train(missing))
    groupings = grouping_records(study, findings, tasks, partitions)
    remedies: list[Remedy] = []
    for title, setting, position in _attempts(study, findings, tasks):
        if study.can_train([setting]):
            yield from told.events(study.train([setting]))
            found = remedy(study, title, setting, position)
            remedies += [found] if found is not None else []
    yield from told.events(study.train(_widths(study)))
    record = summarise(
        study,
        findings,
        tasks,
        aside=aside,
        groupings=groupings,
        remedies=remedies,
        facts=Facts(_name(config), _command(config, study), _notes(study, groupings)),
    )
    if folder is not None:
        folder.write(record)
        write_transfer_report(folder.path)
    yield TransferFinished(record, None if folder is None else folder.path)


@dataclass(slots=True, eq=False)
class _Teller:
    """Trainings as events, with the time that the rest will take after the first."""

    study: Study
    number: int = 0

    def events(self, trained: Iterator[tuple[TrainingSpec, Outcome]]) -> Iterator[TransferEvent]:
        before, started = self.study.trainings.num_trained, time.monotonic()
        for _, outcome in trained:
            self.number += 1
            is_new = self.study.trainings.num_trained > before
            yield TrainingEnded(outcome.record, self.number, is_new)
            if self.number == 1 and is_new:
                rest = (time.monotonic() - started) * (self.study.sets.num_trainings - 1)
                yield Notice(f"the other trainings take about {_minutes(rest)}")
            before = self.study.trainings.num_trained


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def _partitions(
    study: Study, findings: Findings, tasks: Sequence[TransferTask]
) -> dict[str, tuple[Group, ...]]:
    judged = [p for p, task in enumerate(tasks) if task.too_few is None]
    return {
        APART: tuple((p,) for p in study.everything),
        TOGETHER: (study.everything,),
        RECOMMENDED: recommended(study, findings, judged),
        BY_AFFINITY: by_affinity(study),
    }


def _attempts(
    study: Study, findings: Findings, tasks: Sequence[TransferTask]
) -> Iterator[tuple[str, Setting, int]]:
    """For each task that is worse beside the others than alone: what may mend it."""
    for position, task in enumerate(tasks):
        gain = findings.gains.get((study.everything, position))
        if task.too_few or gain is None or gain.high is None or gain.high >= 0:
            continue
        harms = [
            (effect.value, left)
            for (left, other), effect in findings.left_out.items()
            if other == position and effect.low is not None and effect.low > 0
        ]
        if harms:
            left = max(harms)[1]
            rest = tuple(p for p in study.everything if p != left)
            yield f"without {tasks[left].name}", Setting(rest), position
        for variant in _REMEDIES:
            yield variant.name, Setting(study.everything, variant.name), position


def _variants(options: TransferOptions) -> dict[str, Variant]:
    widths = [
        Variant(f"width {width}", trunk={"name": "shared_bottom", "hidden": [width]})
        for width in options.widths
    ]
    return {variant.name: variant for variant in (Variant(""), *_REMEDIES, *widths)}


def _widths(study: Study) -> list[Setting]:
    """The capacity sweep: every task alone and all together, at each width of the shared layer."""
    groups = [study.everything, *((p,) for p in study.everything)]
    return [Setting(g, f"width {width}") for width in study.options.widths for g in groups]


def _notes(study: Study, groupings: Sequence[GroupingRecord]) -> tuple[str, ...]:
    """What the budget left out."""
    sets = study.sets
    found = []
    if sets.num_wanted < len(sets.wanted):
        found.append(
            f"{len(sets.wanted) - sets.num_wanted} of {len(sets.wanted)} pairs and leavings-out were "
            f"beyond the budget of {study.options.budget} trainings: those of the smallest TAG affinity"
        )
    if sets.num_seeds == 1:
        found.append("one seed: intervals hold what rows vary by, not what seeds do")
    missing = [each.title for each in groupings if each.mean is None and each.groups]
    if missing:
        found.append(f"not measured, for the budget was spent: the grouping {', '.join(missing)}")
    return tuple(found)


def _name(config: FitConfig) -> str:
    return "the table" if config.table is None else Path(config.table).name


def _command(config: FitConfig, study: Study) -> str:
    """What repeats it; TABLE stands for a table that came from memory."""
    options = study.options
    words = ["polytask", "transfer", str(config.table or "TABLE")]
    words += ["--config", f"{config.out}/run.yaml"] if config.out is not None else []
    words += ["--budget", str(options.budget), "--seeds", str(study.sets.num_seeds)]
    words += ["--rows", str(options.rows)] if options.rows is not None else []
    words += ["--models", str(options.max_models)] if options.max_models is not None else []
    words += ["--widths", ",".join(map(str, options.widths))] if options.widths else []
    return shlex.join(words)
