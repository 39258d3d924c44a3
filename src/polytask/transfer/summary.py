"""A study -> transfer.json: tasks, gains, scores, groupings, remedies, capacity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import torch

from polytask.fitting.processes.environment import environment
from polytask.metrics import evaluate
from polytask.records import Gain
from polytask.records.transfer import (
    CapacityPoint,
    CheapScore,
    Effect,
    GroupingRecord,
    Remedy,
    TransferRecord,
    TransferTask,
)
from polytask.transfer.comparing import Comparison, Setting
from polytask.transfer.grouping import Group
from polytask.transfer.judging import PairScore, judged
from polytask.transfer.label_correlation import label_correlations
from polytask.transfer.rare import too_few
from polytask.transfer.similarity import similarity_matrices
from polytask.transfer.study import Findings, Study
from polytask.transfer.trainings import Trainings, TrainingSpec

APART, TOGETHER, RECOMMENDED = "one model a task", "one model for all", "recommended"
BY_AFFINITY = "by TAG affinity"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the record says beside what was measured."""

    name: str
    command: str
    notes: tuple[str, ...]


def summarise(
    study: Study,
    findings: Findings,
    tasks: Sequence[TransferTask],
    *,
    aside: Sequence[TransferTask],
    groupings: Sequence[GroupingRecord],
    remedies: Sequence[Remedy],
    facts: Facts,
) -> TransferRecord:
    """All of it as a record."""
    names = [task.name for task in study.tasks]
    prepared = study.trainings.prepared
    parts = {"train": study.trainings.train, "valid": prepared.valid, "test": prepared.test}
    pairs = {
        (i, j): gain
        for i in study.everything
        for j in study.everything
        if i != j and (gain := findings.pair(i, j)) is not None
    }
    whole = [(j, findings.gains.get((study.everything, j))) for j in study.everything]
    return TransferRecord(
        name=facts.name,
        tasks=(*tasks, *aside),
        order=tuple(names),
        pairs=tuple(Effect(names[i], names[j], gain) for (i, j), gain in pairs.items()),
        together=tuple(Effect("all", names[j], gain) for j, gain in whole if gain is not None),
        left_out=tuple(
            Effect(names[i], names[j], gain) for (i, j), gain in findings.left_out.items()
        ),
        scores=_scores(
            study, {k: g.value for k, g in pairs.items() if tasks[k[1]].too_few is None}
        ),
        groupings=tuple(groupings),
        remedies=tuple(remedies),
        capacity=tuple(_capacity(study)),
        rows={name: len(part) for name, part in parts.items() if part is not None},
        num_seeds=study.sets.num_seeds,
        num_trainings=len(study.used) + len(aside),
        seconds=sum(study.trainings.outcome(spec).record.seconds for spec in study.used),
        split=prepared.split,
        notes=facts.notes,
        command=facts.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment(1),
    )


def grouping_records(
    study: Study,
    findings: Findings,
    tasks: Sequence[TransferTask],
    partitions: Mapping[str, Sequence[Group]],
) -> list[GroupingRecord]:
    """Each partition whose groups were all trained: its gains over one model a task."""
    judged_ = [p for p, task in enumerate(tasks) if task.too_few is None]
    compared = study.comparisons()
    choices = [_setting_of_task(groups) for groups in partitions.values()]
    trained = [*study.trained_groups(), *((p,) for p in study.everything)]
    complete = [all(group in trained for group in groups) for groups in partitions.values()]
    known = [choice for choice, is_complete in zip(choices, complete) if is_complete]
    means = iter(compared.mean_gains(known, part=study.part, judged=judged_))
    found = [next(means) if is_complete else None for is_complete in complete]
    gains = compared.gains()
    names = [task.name for task in tasks]
    records = []
    for (title, groups), choice, mean in zip(partitions.items(), choices, found):
        keys = [Comparison(p, choice[p], Setting((p,)), study.part) for p in judged_]
        expected = sum(findings.group_value(group, judged_) for group in groups)
        records.append(
            GroupingRecord(
                title=title,
                groups=tuple(tuple(names[p] for p in group) for group in groups),
                expected=expected / len(judged_) if judged_ else None,
                mean=mean,
                gains=tuple(Effect(title, names[k.position], gains[k]) for k in keys if k in gains),
                part=study.part,
            )
        )
    return records


def _setting_of_task(groups: Sequence[Group]) -> dict[int, Setting]:
    return {position: Setting(group) for group in groups for position in group}


def transfer_task(trainings: Trainings, position: int) -> TransferTask:
    """A task, its own model's metric under the first seed, and whether there are labels enough."""
    task, valid = trainings.prepared.tasks[position], trainings.prepared.valid
    assert valid is not None
    outcome = trainings.outcome(TrainingSpec((position,), 0))
    rows = trainings.rows(outcome, position, "valid")
    evaluation = evaluate(
        task.kind, rows.predictions, rows.labels, weights=rows.weights, groups=rows.groups
    )
    definition = task.kind.metric(task.kind.main_metric)
    labels_B = trainings.train.labels[task.name]
    return TransferTask(
        name=task.name,
        kind=task.kind.name,
        metric=definition.title,
        direction=definition.direction,
        train_labels=int(task.kind.is_labelled(labels_B).sum()),
        valid_labels=evaluation.num_rows,
        valid_positives=evaluation.num_positive,
        alone=next((m for m in evaluation.metrics if m.name == definition.name), None),
        too_few=too_few(task, valid),
    )


def _scores(study: Study, gains: Mapping[tuple[int, int], float]) -> tuple[CheapScore, ...]:
    moments = [
        study.trainings.outcome(study.spec(Setting((p,)), 0)).moments.get(study.tasks[p].name)
        for p in study.everything
    ]
    found = [
        PairScore(
            "affinity",
            "TAG affinity",
            "how far a step for the row's task lowers the column's loss, in the mean over one training "
            "of all tasks (Fifty et al., 2021)",
            study.mean_of_runs("affinity"),
        ),
        PairScore(
            "cosine",
            "cosine of gradients",
            "whether the two tasks pull what they share the same way, in the mean over one training",
            study.mean_of_runs("cosines"),
        ),
        PairScore(
            "agreement",
            "steps without conflict",
            "the share of steps at which the cosine of their gradients is not below 0",
            1 - study.mean_of_runs("conflicts"),
        ),
    ]
    if all(moment is not None for moment in moments):
        score_TT, cosine_TT = similarity_matrices(
            [moment for moment in moments if isinstance(moment, torch.Tensor)]
        )
        found += [
            PairScore(
                "similarity",
                "covariance similarity",
                "how alike the two tasks' inputs are where each task's own encoder ends (Wu et al., 2020, "
                "eq. 5); beside itself a task has 1 / sqrt(effective rank), not 1",
                score_TT.numpy(),
            ),
            PairScore(
                "normalised_similarity",
                "normalised covariance similarity",
                "the same, divided so that a task beside itself has 1",
                cosine_TT.numpy(),
            ),
        ]
    found.append(
        PairScore(
            "labels",
            "correlation of labels",
            "how much one label says of the other, on the training rows that have both; judged by its "
            "size",
            label_correlations(study.tasks, study.trainings.train),
            judged_by_size=True,
        )
    )
    return tuple(judged(score, gains) for score in found)


def _capacity(study: Study) -> list[CapacityPoint]:
    points = []
    for width in study.options.widths:
        variant = f"width {width}"
        for position, task in enumerate(study.tasks):
            together = _values(study, Setting(study.everything, variant), position)
            alone = _values(study, Setting((position,), variant), position)
            if together and alone:
                points.append(
                    CapacityPoint(
                        width,
                        task.name,
                        float(np.mean(together)),
                        _error(together),
                        float(np.mean(alone)),
                        _error(alone),
                    )
                )
    return points


def _values(study: Study, setting: Setting, position: int) -> list[float]:
    name = study.tasks[position].name
    values = [
        study.trainings.outcome(study.spec(setting, seed)).record.valid.get(name)
        for seed in range(study.sets.num_seeds)
    ]
    return [value for value in values if value is not None]


def _error(values: Sequence[float]) -> float | None:
    """The standard error of a mean over seeds."""
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None


def remedy(study: Study, title: str, setting: Setting, position: int) -> Remedy | None:
    """What a change of the model of all tasks does for one of them."""
    compared = study.comparisons()
    whole = Comparison(position, setting, Setting(study.everything))
    alone = Comparison(position, setting, Setting((position,)))
    if compared.add(whole) is None or compared.add(alone) is None:
        return None
    gains: dict[Comparison, Gain] = compared.gains()
    return Remedy(title, study.tasks[position].name, gains[whole], gains[alone])
