"""Final trainings -> the cells of the answer: values, paired differences, Delta_m, ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from polytask.records import MetricValue
from polytask.records.study import DeltaM, Paired, StudyCell
from polytask.study.outcomes import Outcomes
from polytask.study.statistics import MetricPair, delta_m, holm, mean_ranks
from polytask.task import Task

MEAN = "mean of the tasks"


def cells_of(
    outcomes: Outcomes,
    rows: Sequence[str],
    seeds: Sequence[int],
    *,
    equal: str | None,
    single: str | None,
) -> dict[str, tuple[StudyCell, ...]]:
    """A cell a row and task; each family of differences is corrected by Holm for all its members."""
    found = {
        row: [
            _cell(outcomes, row, task, seeds, equal=equal, single=single) for task in outcomes.goals
        ]
        for row in rows
    }
    for name in ("over_equal", "over_single"):
        places = [
            (row, t)
            for row, cells in found.items()
            for t, cell in enumerate(cells)
            if (paired := getattr(cell, name)) is not None and paired.p_value is not None
        ]
        corrected = holm([getattr(found[row][t], name).p_value for row, t in places])
        for (row, t), value in zip(places, corrected):
            paired = replace(getattr(found[row][t], name), holm=value)
            found[row][t] = replace(found[row][t], **{name: paired})
    return {row: tuple(cells) for row, cells in found.items()}


def mean_pairs(
    outcomes: Outcomes, rows: Sequence[str], seeds: Sequence[int], reference: str | None
) -> dict[str, Paired]:
    """The mean over tasks of each row's gains over the reference, corrected for the rows."""
    if reference is None:
        return {}
    found = {
        row: outcomes.mean_difference(row, reference, seeds).paired(MEAN)
        for row in rows
        if row != reference
    }
    known = {row: paired for row, paired in found.items() if paired.p_value is not None}
    corrected = holm([paired.p_value for paired in known.values() if paired.p_value is not None])
    return found | {row: replace(known[row], holm=value) for row, value in zip(known, corrected)}


def delta_of(
    outcomes: Outcomes, row: str, single: str | None, seeds: Sequence[int]
) -> DeltaM | None:
    """Delta_m of all metrics of all goals, each the mean over seeds."""
    if single is None or row == single:
        return None
    pairs = []
    for task in outcomes.goals:
        ours, theirs = (_mean_metrics(outcomes, name, task, seeds) for name in (row, single))
        pairs += [
            MetricPair(task.name, each.direction, each.value, theirs[name].value)
            for name, each in ours.items()
            if name in theirs
        ]
    return delta_m(pairs)


def ranks_of(
    cells: Mapping[str, Sequence[StudyCell]],
) -> dict[str, float]:
    """The mean rank of each row among all these rows, over the goals' main metrics."""
    directions = [cell.value.direction for cell in next(iter(cells.values()), ())]
    return mean_ranks(
        {row: [cell.value.value for cell in each] for row, each in cells.items()}, directions
    )


def _cell(
    outcomes: Outcomes,
    row: str,
    task: Task,
    seeds: Sequence[int],
    *,
    equal: str | None,
    single: str | None,
) -> StudyCell:
    definition = outcomes.metric(task)
    mean = outcomes.value(row, task, seeds)
    value = MetricValue(
        definition.name, mean.value, mean.low, mean.high, definition.direction, definition.title
    )
    over = [
        None
        if other in (None, row)
        else outcomes.difference(row, str(other), task, seeds).paired(definition.name)
        for other in (equal, single)
    ]
    return StudyCell(task.name, value, *over)


def _mean_metrics(
    outcomes: Outcomes, row: str, task: Task, seeds: Sequence[int]
) -> dict[str, MetricValue]:
    evaluations = [outcomes.evaluation(row, task, seed) for seed in seeds]
    return {
        metric.name: replace(
            metric, value=float(np.mean([each[metric.name].value for each in evaluations]))
        )
        for metric in evaluations[0].metrics
        if all(metric.name in each for each in evaluations)
    }
