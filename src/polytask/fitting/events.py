"""What happens in a fit, one value after another: callers print, log or draw as they please."""

from dataclasses import dataclass
from typing import TypeAlias

from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.run_folder.run import Run
from polytask.training.loop import TrainStep
from polytask.training.run import TrainingRun


@dataclass(frozen=True, slots=True, eq=False)
class ModelStarted:
    """A model is about to be trained: `name` is "multi-task" or "single: TASK"."""

    name: str
    training: TrainingRun
    total_steps: int


@dataclass(frozen=True, slots=True, eq=False)
class ModelFinished:
    """A model is trained, its best weights are back in it."""

    name: str
    training: TrainingRun


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """All is trained, evaluated and saved."""

    run: Run


@dataclass(frozen=True, slots=True)
class Notice:
    """What somebody should know: how an interrupted run goes on, experts that collapse."""

    text: str


Event: TypeAlias = Notice | Prepared | ModelStarted | TrainStep | ModelFinished | Finished
