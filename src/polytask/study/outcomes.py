"""Final trainings -> means over seeds with intervals, and paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from polytask.fitting.preparing.prepare import Prepared
from polytask.metrics import Definition, resampled
from polytask.records import Evaluation
from polytask.records.study import FinalRecord
from polytask.streams import Batch
from polytask.study.configurations import Configuration
from polytask.study.judging import judged_by
from polytask.study.statistics import (
    Floats,
    Mean,
    mean_over_seeds,
)
from polytask.task import Task
from polytask.training.scoring import Array, TaskRows

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
