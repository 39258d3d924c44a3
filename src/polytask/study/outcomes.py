"""Final trainings -> rows of the answer: means with intervals, paired differences, Delta_m, ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from polytask.fitting.preparing.prepare import Prepared
from polytask.metrics import Definition, resampled
from polytask.records import Evaluation, MetricValue
from polytask.records.study import DeltaM, FinalRecord, Paired, StudyCell
from polytask.streams import Batch
from polytask.study.configurations import Configuration
from polytask.study.judging import judged_by
from polytask.study.statistics import (
    Floats,
    Mean,
    MetricPair,
    delta_m,
    holm,
    mean_over_seeds,
    mean_ranks,
)
from polytask.task import Task
from polytask.training.scoring import Array, TaskRows

MEAN = "mean of the tasks"
_RESAMPLES = 200

Key = tuple[str, int]
"""A row and a seed."""


@dataclass(slots=True, eq=False)
class Outcomes:
    """Every final training so far, and what was computed of them; nothing is computed twice."""

    prepared: Prepared
    rows: Mapping[str, Sequence[Configuration]]
    records: dict[tuple[str, int], FinalRecord] = field(default_factory=dict)
    predictions: dict[str, dict[Key, dict[str, Array]]] = field(default_factory=dict)
    _resampled: dict[tuple[str, str, str], tuple[tuple[int, ...], Floats, Floats]] = field(
        default_factory=dict
    )
    _metrics: dict[str, Definition] = field(default_factory=dict)
    _evaluations: dict[tuple[str, int, str], Evaluation] = field(default_factory=dict)

    def add(
        self,
        configuration: Configuration,
        record: FinalRecord,
        predictions: Mapping[str, Mapping[str, Array]],
    ) -> None:
        self.records[configuration.name, record.seed] = record
        for part, by_task in predictions.items():
            found = self.predictions.setdefault(part, {})
            found.setdefault((configuration.row, record.seed), {}).update(by_task)

    @property
    def goals(self) -> list[Task]:
        return [task for task in self.prepared.tasks if not task.auxiliary]

    def metric(self, task: Task) -> Definition:
        """What the task is compared by."""
        if not self._metrics:
            self._metrics = judged_by(self.prepared.config.monitor, self.prepared.tasks)
        return self._metrics[task.name]

    def seeds_of(self, row: str) -> tuple[int, ...]:
        """Those under which every model of the row has been trained."""
        by_model = [
            {seed for name, seed in self.records if name == each.name} for each in self.rows[row]
        ]
        return tuple(sorted(set.intersection(*by_model))) if by_model else ()

    def common(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """The rows that have been trained at all, and the seeds that all of them have."""
        seeds = {row: self.seeds_of(row) for row in self.rows}
        trained = tuple(row for row, known in seeds.items() if known)
        shared = set.intersection(*(set(seeds[row]) for row in trained)) if trained else set()
        return trained, tuple(sorted(shared))

    def value(self, row: str, task: Task, seeds: Sequence[int], part: str = "test") -> Mean:
        """The task's main metric, its mean over seeds."""
        return mean_over_seeds(*self._of(row, task, seeds, part))

    def difference(
        self, ours: str, theirs: str, task: Task, seeds: Sequence[int], part: str = "test"
    ) -> Mean:
        """How much better one row is than another, on the same rows under the same seeds."""
        return mean_over_seeds(*self._gains(ours, theirs, task, seeds, part))

    def mean_difference(
        self, ours: str, theirs: str, seeds: Sequence[int], part: str = "test"
    ) -> Mean:
        """The mean over the goals; tasks that are labelled on the same rows share their resamples."""
        found = [self._gains(ours, theirs, task, seeds, part) for task in self.goals]
        known = [
            (gains_S, of_rows_SR) for gains_S, of_rows_SR in found if np.isfinite(gains_S).all()
        ]
        if not known:
            return Mean(float("nan"))
        return mean_over_seeds(
            np.mean([gains_S for gains_S, _ in known], axis=0),
            np.mean([of_rows_SR for _, of_rows_SR in known], axis=0),
        )

    def evaluation(self, row: str, task: Task, seed: int) -> Evaluation:
        """All metrics on the test rows under one seed."""
        key = (row, seed, task.name)
        if key not in self._evaluations:
            rows = self._rows("test", row, seed, task)
            self._evaluations[key] = rows.evaluate(intervals=False)
        return self._evaluations[key]

    def _gains(
        self, ours: str, theirs: str, task: Task, seeds: Sequence[int], part: str
    ) -> tuple[Floats, Floats]:
        definition = self.metric(task)
        (our_S, our_SR), (their_S, their_SR) = (
            self._of(row, task, seeds, part) for row in (ours, theirs)
        )
        return definition.advantage(our_S, their_S), definition.advantage(our_SR, their_SR)

    def _of(self, row: str, task: Task, seeds: Sequence[int], part: str) -> tuple[Floats, Floats]:
        """The metric (S,) and on resamples (S, R), which are the same for all rows of a task."""
        key = (part, row, task.name)
        wanted = tuple(seeds)
        if key not in self._resampled or self._resampled[key][0] != wanted:
            rows = [self._rows(part, row, seed, task) for seed in seeds]
            first = rows[0]
            values = resampled(
                self.metric(task),
                task.kind,
                [each.predictions for each in rows],
                first.labels,
                weights=first.weights,
                groups=first.groups,
                num_resamples=_RESAMPLES,
            )
            self._resampled[key] = (wanted, *values)
        _, values_S, values_SR = self._resampled[key]
        return values_S, values_SR

    def _rows(self, part: str, row: str, seed: int, task: Task) -> TaskRows:
        batch: Batch | None = self.prepared.valid if part == "valid" else self.prepared.test
        assert batch is not None
        return TaskRows.of(task, self.predictions[part][row, seed][task.name], batch)


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
