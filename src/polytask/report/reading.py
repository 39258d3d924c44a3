"""A run folder -> what the page is made of; a file that is missing is no error, a damaged one is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polytask.errors import UserError
from polytask.files.reading import read_text
from polytask.files.yaml import MOST_BYTES, load_yaml
from polytask.records import (
    Figures,
    RunRecord,
    StepRecord,
    ValidationRecord,
    read_figures,
    read_history,
    read_metrics,
)
from polytask.records.layout import FIGURES, METRICS, OPTIONS, STEPS, check_folder

MULTI = "multi-task"
"""The name of the model for all tasks in steps.jsonl."""


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """A run folder as far as it goes: what is missing is None, or empty, and named in `missing`.

    `options` is run.yaml, `options_text` its text; `steps` are those of the model for all tasks,
    `validations` go by the model's name.
    """

    folder: str
    options: Mapping[str, object]
    options_text: str
    metrics: RunRecord | None
    figures: Figures | None
    steps: tuple[StepRecord, ...]
    validations: Mapping[str, Sequence[ValidationRecord]]
    missing: tuple[str, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks in the order of run.yaml; those of the logged steps where it names none."""
        tasks = self.options.get("tasks")
        named = tasks if isinstance(tasks, list) else []
        names = [str(t["name"]) for t in named if isinstance(t, Mapping) and "name" in t]
        return tuple(names or dict.fromkeys(task for step in self.steps for task in step.losses))


def read_run(folder: Path) -> ReportedRun:
    """What the folder holds; UserError where it holds no run, or a file that cannot be read."""
    check_folder(folder)
    if not (folder / OPTIONS).is_file():
        raise UserError(f"{folder}: this is no run folder, it lacks {OPTIONS}")
    text = read_text(folder / OPTIONS, most_bytes=MOST_BYTES)
    history = read_history(folder)
    validations: dict[str, list[ValidationRecord]] = {}
    for line in history:
        if isinstance(line, ValidationRecord):
            validations.setdefault(line.model, []).append(line)
    run = ReportedRun(
        folder=str(folder),
        options=_read_options(folder / OPTIONS, text),
        options_text=text,
        metrics=read_metrics(folder),
        figures=read_figures(folder),
        steps=tuple(s for s in history if isinstance(s, StepRecord) and s.model == MULTI),
        validations=validations,
        missing=tuple(n for n in (METRICS, FIGURES, STEPS) if not (folder / n).is_file()),
    )
    _require_tasks_of(run)
    return run


def _require_tasks_of(run: ReportedRun) -> None:
    """UserError where a record speaks of a task that run.yaml has not: it is another run's."""
    named = {
        METRICS: [] if run.metrics is None else [*run.metrics.tasks],
        FIGURES: [] if run.figures is None else [scores.task for scores in run.figures.scores],
    }
    for file, tasks in named.items():
        others = [task for task in tasks if run.tasks and task not in run.tasks]
        if others:
            raise UserError(
                f"{run.folder}/{file}: it has a task {others[0]!r}, which {OPTIONS} has not: one of "
                "the two files is another run's"
            )


def _read_options(path: Path, text: str) -> Mapping[str, object]:
    options = load_yaml(text, where=str(path))
    if not isinstance(options, dict):
        raise UserError(f"{path}: a configuration is a mapping of keys")
    return options
