"""Which sets of tasks are trained, and how often: what a budget of trainings allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from polytask.errors import UserError, flag
from polytask.records.transfer import TransferOptions
from polytask.transfer.grouping import Group

_MOST_SEEDS = 3


@dataclass(frozen=True, slots=True)
class TrainingSets:
    """The sets of tasks to train under each of `num_seeds` seeds.

    `required` are each task alone and all together. Of `wanted`, all but one and pairs, as many as
    fit are trained: `num_wanted`.
    """

    required: tuple[Group, ...]
    wanted: tuple[Group, ...]
    num_wanted: int
    num_seeds: int

    @property
    def num_trainings(self) -> int:
        return self.num_seeds * (len(self.required) + self.num_wanted)

    @property
    def in_words(self) -> str:
        """What will be trained, as a line of print."""
        left = len(self.wanted) - self.num_wanted
        fewer = f" ({left} pairs or leavings-out are beyond the budget)" if left else ""
        seeds = f"{self.num_seeds} seed{'s' if self.num_seeds > 1 else ''}"
        sets = len(self.required) + self.num_wanted
        return f"{sets} sets of tasks under {seeds}: {self.num_trainings} trainings{fewer}"


def training_sets(num_tasks: int, options: TransferOptions) -> TrainingSets:
    """Alone, together, all but one, and pairs: as many as the budget allows, under up to 3 seeds.

    >>> training_sets(4, TransferOptions()).in_words
    '15 sets of tasks under 3 seeds: 45 trainings'
    >>> training_sets(6, TransferOptions(budget=30)).in_words
    '28 sets of tasks under 1 seed: 28 trainings'
    """
    everything = tuple(range(num_tasks))
    alone = [(task,) for task in everything]
    required = (everything, *alone)
    all_but_one = [tuple(t for t in everything if t != left) for left in everything]
    found = [*all_but_one, *combinations(everything, 2)]
    wanted = tuple(dict.fromkeys(each for each in found if 1 < len(each) < num_tasks))
    num_sets = len(required) + len(wanted)
    seeds = options.seeds or max(1, min(_MOST_SEEDS, options.budget // num_sets))
    fits = options.budget // seeds - len(required)
    if fits < 0:
        raise UserError(
            f"{flag('budget', options.budget)}: {num_tasks} tasks need {seeds * len(required)} trainings at "
            f"least, each task alone and all together under {seeds} seed{'s' if seeds > 1 else ''}"
        )
    return TrainingSets(required, wanted, min(fits, len(wanted)), seeds)


def most_telling(
    wanted: Sequence[Group], affinity: Sequence[Sequence[float | None]]
) -> list[Group]:
    """All but one first, then pairs by the size of their affinity: where only some can be trained.

    >>> most_telling([(0, 1), (1, 2), (0, 1, 2)], [[0, 0.1, 0], [0, 0, -0.5], [0, 0, 0]])
    [(0, 1, 2), (1, 2), (0, 1)]
    """

    def size(group: Group) -> float:
        if len(group) > 2:
            return float("inf")
        i, j = group
        return abs(affinity[i][j] or 0.0) + abs(affinity[j][i] or 0.0)

    return sorted(wanted, key=size, reverse=True)
