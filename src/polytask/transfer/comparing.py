"""Outcomes of trainings -> gains: set against set, on the same rows and under the same seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from polytask.records import Gain
from polytask.training.scoring import TaskRows
from polytask.transfer.gains import Measured, with_intervals
from polytask.transfer.grouping import Group
from polytask.transfer.trainings import Trainings, TrainingSpec

Part = Literal["valid", "test"]
MEAN = "mean of the tasks"


@dataclass(frozen=True, slots=True)
class Setting:
    """A set of tasks trained with some options changed: what is the same for all seeds."""

    positions: Group
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much better one setting is than another for the task at a position."""

    position: int
    ours: Setting
    theirs: Setting
    part: Part = "valid"

    @property
    def is_nothing(self) -> bool:
        """Whether it compares a setting with itself: 0, without an error that others could learn from."""
        return self.ours == self.theirs


@dataclass(slots=True, eq=False)
class Comparisons:
    """All comparisons of a study; intervals pool the spread of seeds over those of a task and part."""

    trainings: Trainings
    spec_of: Callable[[Setting, int], TrainingSpec]
    num_seeds: int
    measured: dict[Comparison, Measured] = field(default_factory=dict)

    def add(self, comparison: Comparison) -> Measured | None:
        """Measure it once; None where these rows do not define the metric."""
        if comparison.is_nothing:
            return self._nothing(comparison.position)
        if comparison not in self.measured:
            found = self._measure(comparison)
            if found is None:
                return None
            self.measured[comparison] = found
        return self.measured[comparison]

    def gains(self) -> dict[Comparison, Gain]:
        """Every gain with its interval; what is compared with itself is not among them."""
        found: dict[Comparison, Gain] = {}
        for part in ("valid", "test"):
            known = {key: each for key, each in self.measured.items() if key.part == part}
            found |= dict(zip(known, with_intervals([*known.values()])))
        return found

    def mean_gains(
        self, choices: Sequence[Mapping[int, Setting]], *, part: Part, judged: Sequence[int]
    ) -> list[Gain | None]:
        """For each choice of a setting a task: the mean gain over one model a task, with its interval.

        Rows err alike on all tasks at worst, so the mean's row error is taken as the mean of theirs.
        """
        means = [self._mean(choice, part, judged) for choice in choices]
        real = [mean for mean in means if mean is not None and any(mean.values)]
        known = dict(zip(map(id, real), with_intervals(real)))
        return [
            None if mean is None else known.get(id(mean), Gain(MEAN, 0.0, 0.0, 0.0))
            for mean in means
        ]

    def _mean(
        self, choice: Mapping[int, Setting], part: Part, judged: Sequence[int]
    ) -> Measured | None:
        parts = [
            self.add(Comparison(position, choice[position], Setting((position,)), part))
            for position in judged
        ]
        known = [each for each in parts if each is not None]
        if not known:
            return None
        errors = [each.row_error for each in known if each.row_error is not None]
        values = np.mean([each.values for each in known], axis=0)
        return Measured(
            MEAN, MEAN, tuple(values.tolist()), float(np.mean(errors)) if errors else None
        )

    def _nothing(self, position: int) -> Measured:
        task = self.trainings.prepared.tasks[position]
        return Measured(task.name, task.kind.main_metric, (0.0,) * self.num_seeds, 0.0)

    def _measure(self, comparison: Comparison) -> Measured | None:
        gains = []
        for seed in range(self.num_seeds):
            ours, theirs = (
                self._rows(setting, comparison, seed)
                for setting in (comparison.ours, comparison.theirs)
            )
            gain = ours.main_gain_over(theirs)
            if gain is None:
                return None
            gains.append(gain)
        spans = [
            (g.high - g.low) / 2 / 1.96 for g in gains if g.low is not None and g.high is not None
        ]
        task = self.trainings.prepared.tasks[comparison.position]
        error = float(np.mean(spans)) if spans else None
        return Measured(task.name, gains[0].name, tuple(gain.value for gain in gains), error)

    def _rows(self, setting: Setting, comparison: Comparison, seed: int) -> TaskRows:
        outcome = self.trainings.outcome(self.spec_of(setting, seed))
        return self.trainings.rows(outcome, comparison.position, comparison.part)
