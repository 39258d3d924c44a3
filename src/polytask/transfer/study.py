"""A study of transfer: trainings of sets of tasks, what they say, and what follows for grouping."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from polytask.config.spellings import Options
from polytask.records import Gain
from polytask.records.transfer import TransferOptions
from polytask.task import Task
from polytask.transfer.comparing import Comparison, Comparisons, Part, Setting
from polytask.transfer.gains import shrunk
from polytask.transfer.grouping import Group, best_partition, mean_incoming
from polytask.transfer.judging import Floats, mean_matrix
from polytask.transfer.sets import TrainingSets, most_telling
from polytask.transfer.trainings import Outcome, Trainings, TrainingSpec


@dataclass(frozen=True, slots=True)
class Variant:
    """A change of options under a name."""

    name: str
    trunk: Options | None = None
    balancer: Options | None = None


PLAIN = Variant("")


@dataclass(slots=True, eq=False)
class Study:
    """What is trained and compared, in order; every training is asked of `trainings` alone."""

    trainings: Trainings
    options: TransferOptions
    sets: TrainingSets
    variants: dict[str, Variant] = field(default_factory=lambda: {"": PLAIN})
    used: list[TrainingSpec] = field(default_factory=list)

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.trainings.prepared.tasks

    @property
    def everything(self) -> Group:
        return tuple(range(len(self.tasks)))

    @property
    def part(self) -> Part:
        """Where groupings are judged: on rows that chose none of them."""
        return "valid" if self.trainings.prepared.test is None else "test"

    def spec(self, setting: Setting, seed: int) -> TrainingSpec:
        variant = self.variants[setting.variant]
        return TrainingSpec(setting.positions, seed, variant.name, variant.trunk, variant.balancer)

    def train(self, settings: Sequence[Setting]) -> Iterator[tuple[TrainingSpec, Outcome]]:
        """Each setting under every seed; those that are there already are passed over."""
        for seed in range(self.sets.num_seeds):
            for setting in settings:
                spec = self.spec(setting, seed)
                if spec not in self.used:
                    self.used.append(spec)
                    yield spec, self.trainings.outcome(spec)

    def train_sets(self) -> Iterator[tuple[TrainingSpec, Outcome]]:
        """All sets of the plan: where the budget leaves some out, those that say least."""
        yield from self.train([Setting(group) for group in self.sets.required])
        wanted: Sequence[Group] = self.sets.wanted
        if self.sets.num_wanted < len(wanted):
            wanted = most_telling(wanted, self.mean_of_runs("affinity").tolist())
        yield from self.train([Setting(group) for group in wanted[: self.sets.num_wanted]])

    def can_train(self, settings: Sequence[Setting]) -> bool:
        """Whether the budget has room for what of the settings has not been trained."""
        new = {s for s in settings if self.spec(s, 0) not in self.used}
        return len(self.used) + self.sets.num_seeds * len(new) <= self.options.budget

    def mean_of_runs(self, name: str) -> Floats:
        """What was measured while all tasks were trained together: affinity, cosines or conflicts."""
        runs = [
            self.trainings.outcome(self.spec(Setting(self.everything), seed)).record
            for seed in range(self.sets.num_seeds)
        ]
        return mean_matrix([getattr(run, name) for run in runs], len(self.tasks))

    def trained_groups(self) -> list[Group]:
        """Sets of two tasks or more that were trained without a change of options."""
        found = dict.fromkeys(spec.positions for spec in self.used if spec.variant == "")
        return [group for group in found if len(group) > 1]

    def comparisons(self) -> Comparisons:
        return Comparisons(self.trainings, self.spec, self.sets.num_seeds)


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """The gains that validation showed: of every trained group, and of leaving tasks out."""

    gains: dict[tuple[Group, int], Gain]
    left_out: dict[tuple[int, int], Gain]

    def pair(self, cause: int, task: int) -> Gain | None:
        """What training beside `cause` alone does to `task`."""
        return self.gains.get((tuple(sorted((cause, task))), task))

    def group_value(self, group: Group, judged: Sequence[int]) -> float:
        """The sum of shrunken gains over one model a task: the group's own where it was trained, else
        the mean of what its tasks do to each other in pairs."""
        total = 0.0
        for task in group if len(group) > 1 else ():
            if task not in judged:
                continue
            own = self.gains.get((group, task))
            if own is not None:
                total += shrunk(own)
                continue
            pairs = [self.pair(cause, task) for cause in group if cause != task]
            total += float(np.mean([0.0 if each is None else shrunk(each) for each in pairs]))
        return total


def find(study: Study) -> Findings:
    """Compare every trained group with single tasks, and all but one with all."""
    compared = study.comparisons()
    alone, whole = [Setting((t,)) for t in study.everything], Setting(study.everything)
    for group in study.trained_groups():
        for task in group:
            compared.add(Comparison(task, Setting(group), alone[task]))
    for _, rest in _left_out(study):
        for task in rest:
            compared.add(Comparison(task, Setting(rest), whole))
    gains = compared.gains()
    return Findings(
        gains={
            (key.ours.positions, key.position): gain
            for key, gain in gains.items()
            if key.theirs == alone[key.position]
        },
        left_out={
            (left, task): gains[key]
            for left, rest in _left_out(study)
            for task in rest
            if (key := Comparison(task, Setting(rest), whole)) in gains
        },
    )


def recommended(study: Study, findings: Findings, judged: Sequence[int]) -> tuple[Group, ...]:
    """The best partition by measured gains; of equal ones that of fewest models."""
    return best_partition(
        len(study.tasks),
        lambda group: findings.group_value(group, judged),
        max_models=study.options.max_models,
    )


def by_affinity(study: Study) -> tuple[Group, ...]:
    """The best partition by TAG's affinity."""
    affinity_TT = study.mean_of_runs("affinity")
    return best_partition(
        len(study.tasks), mean_incoming(affinity_TT), max_models=study.options.max_models
    )


def _left_out(study: Study) -> list[tuple[int, Group]]:
    """Each task whose leaving out was trained, and the others."""
    trained = set(study.trained_groups())
    found = [(t, tuple(o for o in study.everything if o != t)) for t in study.everything]
    return [
        (left, rest) for left, rest in found if rest in trained and len(rest) < len(study.tasks)
    ]
