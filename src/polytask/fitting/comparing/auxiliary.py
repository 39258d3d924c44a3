"""What extra losses and auxiliary tasks did to each goal, and what they cost."""

from collections.abc import Iterable, Sequence

import numpy as np

from polytask.fitting.comparing.comparison import Trained
from polytask.fitting.preparing.prepare import Prepared
from polytask.metrics.repeated import NORMAL, Measured, with_intervals
from polytask.records import (
    AuxiliaryEffect,
    AuxiliaryRecord,
    ExtraLoss,
    Gain,
    HistoryRecord,
    StepRecord,
)
from polytask.task import Task

_LAST_SHARE = 0.1


def auxiliary_record(
    prepared: Prepared,
    history: Iterable[HistoryRecord],
    *,
    with_them: Sequence[Trained],
    without: Sequence[Trained],
    pretraining_seconds: float | None,
) -> AuxiliaryRecord | None:
    """None where nothing is trained on beside the goals. The trainings of one place have one seed."""
    config, main = prepared.config, with_them[0]
    tasks = tuple(task.name for task in prepared.tasks if task.auxiliary)
    if not (prepared.auxiliaries or tasks or config.pretrain):
        return None
    steps = [each for each in history if isinstance(each, StepRecord) and each.model == main.name]
    losses = [
        ExtraLoss(each.name, _late_accuracy(steps, each.name), each.chance)
        for each in prepared.auxiliaries
    ]
    effects = _effects(prepared.tasks, with_them, without) if without else ()
    return AuxiliaryRecord(
        losses=tuple(losses),
        tasks=tasks,
        pretrained=config.pretrain,
        num_seeds=len(without),
        part=("test" if prepared.test is not None else "valid") if effects else None,
        effects=tuple(effects),
        step_seconds_with=_seconds_a_step(with_them),
        step_seconds_without=_seconds_a_step(without) if without else None,
        pretraining_seconds=pretraining_seconds,
    )


def _effects(
    tasks: Sequence[Task], with_them: Sequence[Trained], without: Sequence[Trained]
) -> list[AuxiliaryEffect]:
    """Each goal's gain in its main metric on the same rows, by seed, and their mean."""
    found: list[AuxiliaryEffect] = []
    for task in tasks:
        pairs = [
            (ours.rows[task.name], theirs.rows[task.name])
            for ours, theirs in zip(with_them, without)
            if task.name in ours.rows and task.name in theirs.rows
        ]
        gains = [ours.main_gain_over(theirs) for ours, theirs in pairs]
        known = [gain for gain in gains if gain is not None]
        if not known or len(known) < len(gains):
            continue
        name = task.kind.main_metric
        means = [float(np.mean([rows.metric(name) for rows in each])) for each in zip(*pairs)]
        title = task.kind.metric(name).title
        found.append(AuxiliaryEffect(task.name, title, means[0], means[1], _mean(task, known)))
    return found


def _mean(task: Task, gains: Sequence[Gain]) -> Gain:
    """With the interval of rows and seeds; of rows alone where there is one seed."""
    spans = [g.high - g.low for g in gains if g.low is not None and g.high is not None]
    error = float(np.mean(spans)) / 2 / NORMAL if spans else None
    values = tuple(gain.value for gain in gains)
    (found,) = with_intervals([Measured(task.name, gains[0].name, values, error)])
    return found


def _late_accuracy(steps: Sequence[StepRecord], name: str) -> float | None:
    values = [step.accuracies[name] for step in steps if name in step.accuracies]
    if not values:
        return None
    return float(np.mean(values[-max(1, round(_LAST_SHARE * len(values))) :]))


def _seconds_a_step(trained: Sequence[Trained]) -> float:
    seconds = sum(each.cost.train_seconds for each in trained)
    return seconds / max(sum(each.steps for each in trained), 1)
