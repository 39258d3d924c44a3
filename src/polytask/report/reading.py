"""A run folder -> what the page is made of; a file that is missing is no error, a damaged one is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from polytask.errors import UserError
from polytask.records import (
    Figures,
    RunRecord,
    StepRecord,
    ValidationRecord,
    read_figures,
    read_history,
    read_metrics,
)
from polytask.records.files import FIGURES, METRICS, STEPS

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
    if not folder.is_dir():
        raise UserError(f"{folder}: no such run folder")
    if not (folder / "run.yaml").is_file():
        raise UserError(f"{folder}: this is no run folder, it lacks run.yaml")
    text = (folder / "run.yaml").read_text(encoding="utf-8")
    history = read_history(folder)
    validations: dict[str, list[ValidationRecord]] = {}
    for line in history:
        if isinstance(line, ValidationRecord):
            validations.setdefault(line.model, []).append(line)
    return ReportedRun(
        folder=str(folder),
        options=_read_options(folder / "run.yaml", text),
        options_text=text,
        metrics=read_metrics(folder),
        figures=read_figures(folder),
        steps=tuple(s for s in history if isinstance(s, StepRecord) and s.model == MULTI),
        validations=validations,
        missing=tuple(n for n in (METRICS, FIGURES, STEPS) if not (folder / n).is_file()),
    )


def _read_options(path: Path, text: str) -> Mapping[str, object]:
    try:
        options = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise UserError(f"{path}: this is no YAML: {error}") from error
    if not isinstance(options, dict):
        raise UserError(f"{path}: a configuration is a mapping of keys")
    return options
