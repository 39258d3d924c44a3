"""Plans: every model of a fit, known before the first one is trained."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from polytask.config import FitConfig
from polytask.config.build import options_for_tasks
from polytask.fitting.preparing.prepare import Prepared
from polytask.streams import Batch, InMemoryStream, Stream
from polytask.task import Task

MULTI_TASK = "multi-task"

Role = Literal["main", "baseline", "stage"]


@dataclass(frozen=True, slots=True)
class From:
    """The weights that a model begins with: those of another run, or of an earlier plan by name."""

    source: Path | str


@dataclass(frozen=True, slots=True, eq=False)
class ModelPlan:
    """One model to be trained: its tasks, its rows, its options, and where it starts.

    The `main` model is the run's; a `baseline` is compared with it; a `stage` is there for the
    plans that start `From` it, and is not reported. `config` holds the options of this model.
    """

    name: str
    role: Role
    config: FitConfig
    tasks: tuple[Task, ...]
    train: Batch
    valid: Batch | None
    test: Batch | None
    start: From | None = None

    def stream(self) -> Stream:
        """The training rows in batches."""
        assert self.config.batch_size is not None
        return InMemoryStream(self.train, self.config.batch_size)


def plans_of(config: FitConfig, prepared: Prepared) -> list[ModelPlan]:
    """The model for all tasks, and where a baseline is asked for one a goal."""
    plans = [multi_task(config, prepared)]
    if config.baseline == "single":
        goals = [t for t, task in enumerate(prepared.tasks) if not task.auxiliary]
        plans.extend(single_task(config, prepared, position) for position in goals)
    return plans


def check_order(plans: Sequence[ModelPlan]) -> None:
    """ValueError unless names differ, one plan is the main one, and starts lie before."""
    names = [plan.name for plan in plans]
    if len(set(names)) < len(names):
        raise ValueError(f"plans must have different names, but they are {names}")
    if sum(plan.role == "main" for plan in plans) != 1:
        raise ValueError(f"one plan must be the main one, but {[plan.role for plan in plans]}")
    for place, plan in enumerate(plans):
        source = None if plan.start is None else plan.start.source
        if isinstance(source, str) and source not in names[:place]:
            raise ValueError(f"plan {plan.name!r} starts from {source!r}, which is none before it")


def multi_task(config: FitConfig, prepared: Prepared) -> ModelPlan:
    """All tasks at once."""
    return ModelPlan(
        MULTI_TASK,
        "main",
        config,
        prepared.tasks,
        prepared.train,
        prepared.valid,
        prepared.test,
        None if config.init_from is None else From(config.init_from),
    )


def single_task(config: FitConfig, prepared: Prepared, position: int) -> ModelPlan:
    """One goal alone, with the same options. Its label is the joint one where it is given another: an
    ordinary binary."""
    task = without_parent(prepared, position)
    own = options_for_tasks(config, [position], [task])
    return ModelPlan(
        f"single: {task.name}",
        "baseline",
        own,
        (task,),
        prepared.train,
        prepared.valid,
        prepared.test,
    )


def without_parent(prepared: Prepared, position: int, *, among: Sequence[int] = ()) -> Task:
    """A task whose parent is not `among` the model's: its one output starts at the joint rate."""
    task = prepared.tasks[position]
    if task.given is None or task.given in {prepared.tasks[place].name for place in among}:
        return task
    kind = task.kind.starting_at(prepared.train.labels[task.name].double().numpy())
    return replace(task, kind=kind, given=None)
