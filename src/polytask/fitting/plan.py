"""The models of a fit: the one for all tasks, and one a task to compare it with."""

import copy
import dataclasses
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polytask.balancing import Ranks
from polytask.config import FitConfig
from polytask.config.build import build_balancer, build_model, build_monitor, build_settings
from polytask.config.fields import Options
from polytask.data.examples import Examples
from polytask.errors import UserError
from polytask.fitting.preparing.prepare import Prepared
from polytask.records import Cost
from polytask.task import Task
from polytask.training.evaluation import predict
from polytask.training.monitor import Monitor
from polytask.training.run import TrainingRun

MULTI_TASK = "multi-task"
_TIMED_ROWS = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class ModelPlan:
    """A model to train: its name, its tasks by position, and its examples."""

    name: str
    tasks: tuple[Task, ...]
    positions: tuple[int, ...]
    train: Examples
    valid: Examples | None
    test: Examples | None


def multi_task(prepared: Prepared) -> ModelPlan:
    """All tasks at once."""
    return ModelPlan(
        MULTI_TASK,
        prepared.tasks,
        tuple(range(len(prepared.tasks))),
        prepared.train,
        prepared.valid,
        prepared.test,
    )


def single_task(prepared: Prepared, position: int) -> ModelPlan:
    """One goal alone. Its label is the joint one where it is given another: an ordinary binary."""
    task = dataclasses.replace(prepared.tasks[position], given=None)
    parts = (prepared.train, prepared.valid, prepared.test)
    train, valid, test = (None if part is None else _column(part, position) for part in parts)
    assert train is not None
    return ModelPlan(f"single: {task.name}", (task,), (position,), train, valid, test)


def start_training(
    config: FitConfig,
    prepared: Prepared,
    assignment: ModelPlan,
    *,
    device: torch.device,
    encoder: nn.Module | None = None,
    ranks: Ranks | None = None,
) -> TrainingRun:
    """A model with fresh weights, drawn from the run's seed alone, on its device."""
    torch.manual_seed(config.seed)
    # Each model has an encoder of its own, also where the user brought one.
    encoder = copy.deepcopy(encoder)
    model = build_model(config, assignment.tasks, columns=prepared.columns, encoder=encoder)
    several = assignment.name == MULTI_TASK
    balancer = build_balancer(
        task_weights(config, assignment.tasks) if several else "equal",
        num_tasks=len(assignment.tasks),
    )
    monitor = build_monitor(config.monitor, prepared.tasks)
    if not several:
        terms = tuple(t for t in monitor.terms if t.task == assignment.tasks[0].name)
        monitor = Monitor(terms) if terms else Monitor.default(assignment.tasks)
    settings = build_settings(config)
    return TrainingRun.start(
        model.to(device), balancer, settings=settings, monitor=monitor, ranks=ranks
    )


def task_weights(config: FitConfig, tasks: tuple[Task, ...]) -> Options:
    """The balancer's name and options; numbers of --weight are static weights."""
    numbers = {k: float(v) for k, v in config.weight.items() if not isinstance(v, str)}
    if not numbers:
        return config.balancer
    if config.balancer != "equal":
        raise UserError(
            f"--weight with numbers fixes the tasks' weights, but the balancer {config.balancer!r} "
            "sets them too; use one of the two"
        )
    everyone = numbers.get("*", 1.0)
    return {"name": "static", "weights": [numbers.get(t.name, everyone) for t in tasks]}


def measure_cost(run: TrainingRun, inputs: tuple[Tensor, ...]) -> Cost:
    """Parameters, training time, and the median of three predictions of some thousand rows."""
    rows = tuple(tensor[:_TIMED_ROWS] for tensor in inputs)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        predict(run.model, rows, precision=run.settings.precision)
        seconds.append(time.perf_counter() - started)
    progress = run.progress
    return Cost(
        parameters=sum(p.numel() for p in run.model.parameters()),
        train_seconds=progress.train_seconds,
        train_rows_per_second=progress.rows / max(progress.train_seconds, 1e-9),
        microseconds_per_row=1e6 * statistics.median(seconds) / len(rows[0]),
    )


def total_cost(costs: Iterator[Cost]) -> Cost:
    """The K models together, trained and asked one after another."""
    each = list(costs)
    seconds = sum(cost.train_seconds for cost in each)
    rows = sum(cost.train_rows_per_second * cost.train_seconds for cost in each)
    return Cost(
        parameters=sum(cost.parameters for cost in each),
        train_seconds=seconds,
        train_rows_per_second=rows / max(seconds, 1e-9),
        microseconds_per_row=sum(cost.microseconds_per_row for cost in each),
    )


def _column(examples: Examples, position: int) -> Examples:
    weights_BT = examples.weights_BT
    return dataclasses.replace(
        examples,
        labels_BT=examples.labels_BT[:, position : position + 1].contiguous(),
        weights_BT=None if weights_BT is None else weights_BT[:, position : position + 1],
    )
