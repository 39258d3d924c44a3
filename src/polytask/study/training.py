"""One training of a study, in a process of its own: a network, or trees for one task."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from polytask.config import FitConfig
from polytask.config.build import build_monitor
from polytask.files.writing import make_folder, write_text
from polytask.fitting.building import start_training
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.plan import ModelPlan
from polytask.fitting.planning import joint, multi_task, single_task
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.processes.environment import pick_device
from polytask.records.codec import to_json
from polytask.records.study import FinalRecord
from polytask.streams import Batch
from polytask.study.configurations import Configuration
from polytask.study.judging import judged_by
from polytask.study.passes import counted_passes
from polytask.study.search import Chosen, options_of
from polytask.study.trees import grown
from polytask.task import Task
from polytask.training.labelled import predict_labelled
from polytask.training.loop import train
from polytask.training.scoring import Array, TaskRows
from polytask.training.tensor_files import write_tensors

PARTS = ("valid", "test")
_COUNTED_STEPS = 20

Report = Callable[[int, float], bool]
"""Says the score of a validation; the answer is whether to stop."""
Predictions = Mapping[str, Mapping[str, Array]]


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What is trained: a configuration with the options of a trial, under a seed."""

    configuration: Configuration
    chosen: Chosen
    seed: int


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How a training went; `score` is what early stopping watched, None where it is not defined.

    `valid` are the goals' main metrics. `is_pruned`: it was stopped as hopeless.
    """

    score: float | None
    valid: Mapping[str, float]
    seconds: float
    memory: int
    passes: float
    parameters: int
    is_pruned: bool = False


def plan_of(training: Training, prepared: Prepared) -> ModelPlan:
    """The model: a goal alone, all that the table was read for, or some of it."""
    own = options_for(training, prepared.config)
    asked = training.configuration
    if asked.group == "single":
        return single_task(own, prepared, asked.positions[0])
    extra = [each for each in prepared.auxiliaries if each.name in asked.auxiliary.losses]
    if prepared.data_sets:
        return multi_task(own, prepared)
    return joint(own, prepared, asked.positions, auxiliaries=extra)


def options_for(training: Training, fit: FitConfig) -> FitConfig:
    """The fit's options as the trial has them."""
    asked = training.configuration
    own = options_of(fit, asked.trunk, asked.balancer, training.chosen)
    return own.model_copy(update={"seed": fit.seed + training.seed, "baseline": "none"})


def run_trial(training: Training, prepared: Prepared, report: Report) -> TrainingResult:
    """Train and score on validation rows; test rows are not looked at."""
    trained, _ = _run(training, prepared, report, parts=PARTS[:1])
    return trained


def run_final(training: Training, prepared: Prepared, paths: tuple[Path, Path]) -> TrainingResult:
    """Train, predict the validation and test rows, and keep both: the record goes last."""
    trained, predictions = _run(training, prepared, lambda place, score: False, parts=PARTS)
    configuration = training.configuration
    names = [task.name for task in prepared.tasks]
    record = FinalRecord(
        row=configuration.name,
        tasks=tuple(names[position] for position in configuration.positions),
        seed=training.seed,
        valid=trained.valid,
        seconds=trained.seconds,
        memory=trained.memory,
        passes=trained.passes,
        parameters=trained.parameters,
    )
    make_folder(paths[0].parent)
    tensors = {
        f"{part}/{names.index(name)}": torch.from_numpy(np.ascontiguousarray(values))
        for part, by_task in predictions.items()
        for name, values in by_task.items()
    }
    write_tensors(paths[1], tensors)
    write_text(paths[0], to_json(record, indent=1))
    return trained


def _run(
    training: Training, prepared: Prepared, report: Report, *, parts: Sequence[str]
) -> tuple[TrainingResult, Predictions]:
    if training.configuration.group == "trees":
        return _grow(training, prepared, parts)
    return _fit(training, prepared, report, parts)


def _fit(
    training: Training, prepared: Prepared, report: Report, parts: Sequence[str]
) -> tuple[TrainingResult, Predictions]:
    plan = plan_of(training, prepared)
    run = start_training(plan, prepared, OwnParts(), device=pick_device(plan.config.device))
    number, is_pruned, started = 0, False, time.perf_counter()
    with counted_passes() as passes:
        for step in train(run, plan.stream(), valid=plan.valid):
            if step.step == _COUNTED_STEPS:
                passes.stop(steps=step.step)
            if step.validation is not None:
                is_pruned = report(number, step.validation.score)
                number += 1
            if is_pruned:
                break
        passes.stop(steps=run.progress.step)
    seconds = time.perf_counter() - started
    if is_pruned:
        run.restore_best()
    predictions = {
        part: _of_goals(
            plan.tasks, predict_labelled(run.model, batch, precision=plan.config.precision).values
        )
        for part in parts
        if (batch := _part(plan, part)) is not None
    }
    assert plan.valid is not None
    score = run.progress.best_score
    trained = TrainingResult(
        score=score if np.isfinite(score) else None,
        # The model's own tasks: some kinds settle after training.
        valid=_metrics(plan, run.model.tasks, predictions["valid"]),
        seconds=seconds,
        memory=peak_memory(),
        passes=passes.per_step,
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        is_pruned=is_pruned,
    )
    return trained, predictions


def _grow(
    training: Training, prepared: Prepared, parts: Sequence[str]
) -> tuple[TrainingResult, Predictions]:
    """Trees for one task."""
    plan = single_task(prepared.config, prepared, training.configuration.positions[0])
    (task,) = plan.tasks
    assert plan.valid is not None
    started = time.perf_counter()
    trees = grown(task, plan.train, plan.valid, prepared.inputs, training.chosen, training.seed)
    seconds = time.perf_counter() - started
    predictions = {
        part: {task.name: trees.predict(batch)}
        for part in parts
        if (batch := _part(plan, part)) is not None
    }
    monitor = build_monitor(plan.config.monitor, plan.tasks)
    rows = TaskRows.of(task, predictions["valid"][task.name], plan.valid)
    asked = {task.name: {term.metric: rows.metric(term.metric) for term in monitor.terms}}
    score = monitor.score(asked, plan.tasks)
    trained = TrainingResult(
        score=score if np.isfinite(score) else None,
        valid=_metrics(plan, plan.tasks, predictions["valid"]),
        seconds=seconds,
        memory=peak_memory(),
        passes=0.0,
        parameters=trees.num_leaves,
    )
    return trained, predictions


def _part(plan: ModelPlan, part: str) -> Batch | None:
    return plan.valid if part == "valid" else plan.test


def _of_goals(tasks: Sequence[Task], values: Mapping[str, Array]) -> dict[str, Array]:
    return {task.name: values[task.name] for task in tasks if not task.auxiliary}


def _metrics(
    plan: ModelPlan, tasks: Sequence[Task], predictions: Mapping[str, Array]
) -> dict[str, float]:
    """What each goal is compared by, on the validation rows."""
    assert plan.valid is not None
    judged = judged_by(plan.config.monitor, plan.tasks)
    return {
        task.name: TaskRows.of(task, predictions[task.name], plan.valid).metric(
            judged[task.name].name
        )
        for task in tasks
        if task.name in predictions
    }


def peak_memory() -> int:
    """The most that this process has had resident, in bytes."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
