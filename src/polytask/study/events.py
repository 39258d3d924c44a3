"""What happens in a study, one value after another: callers print or draw as they please."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from polytask.fitting.events import Notice
from polytask.fitting.preparing.prepare import Prepared
from polytask.records.study import StudyRecord, TrialLine


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A trial is done, pruned or failed."""

    line: TrialLine


@dataclass(frozen=True, slots=True)
class FinalEnded:
    """The best options of a configuration were trained under a seed; `reason` says why they were not."""

    configuration: str
    seed: int
    seconds: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TrainingStarted:
    """A training began in a process of its own."""

    configuration: str
    what: str


ConductorEvent: TypeAlias = TrialEnded | FinalEnded | TrainingStarted


@dataclass(frozen=True, slots=True)
class Progressed:
    """The record as it is now, for a table that moves."""

    record: StudyRecord


@dataclass(frozen=True, slots=True)
class StudyFinished:
    """All is done that there was time for, and written."""

    record: StudyRecord
    folder: Path


StudyEvent: TypeAlias = Notice | Prepared | ConductorEvent | Progressed | StudyFinished
