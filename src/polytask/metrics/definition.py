"""What a metric is: how it is computed, what it means, where better is; and what is asked of a kind of task."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from polytask.errors import UserError, nearest
from polytask.metrics.arrays import Booleans, Floats
from polytask.metrics.intervals import Interval
from polytask.metrics.rows import Rows
from polytask.metrics.spaces import LabelSpace
from polytask.metrics.statistic import Statistic
from polytask.records import Direction, MetricValue


class OneAgainstRest(NamedTuple):
    """A class, the score that tells it from the others, and which rows are of it."""

    label: int
    score_B: Floats
    is_class_B: Booleans


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric. `absent_if` says in words when it is not defined, `meaning` what it tells a reader."""

    name: str
    title: str
    direction: Direction
    statistic: Callable[[Rows], Statistic]
    absent_if: str
    meaning: str
    needs_groups: bool = False
    adds_up: bool = False
    """The statistic is `OfSums` whose sums over parts of the rows, of whole groups, are those of all rows."""
    classes: Callable[[Rows], Iterable[OneAgainstRest]] | None = None
    """The metric is the mean over these classes of the AUC of each."""

    @property
    def is_of_all_rows(self) -> bool:
        """From parts of the rows it is found of all of them, though a part may not define it."""
        return self.adds_up or self.classes is not None

    def is_taken(self, rows: Rows) -> bool:
        return rows.group_B is not None or not self.needs_groups

    def advantage(self, value_a: Floats, value_b: Floats) -> Floats:
        """How much better a is than b, elementwise; see `Gain`."""
        match self.direction:
            case "to 1":
                return np.abs(value_b - 1) - np.abs(value_a - 1)
            case "higher":
                return value_a - value_b
            case "lower":
                return value_b - value_a

    def record(
        self, value: float, interval: Interval | None = None, *, bound: float = 0.0
    ) -> MetricValue:
        """The metric's value with what a reader has to know of it."""
        low, high = interval or (None, None)
        return MetricValue(self.name, value, low, high, self.direction, self.title, bound)


class Scored(Protocol):
    """What metrics ask of a kind of task: what its labels can be, and by what it is judged."""

    @property
    def space(self) -> LabelSpace: ...
    @property
    def metrics(self) -> tuple[Definition, ...]: ...


def definition_of(name: str, kind: Scored) -> Definition:
    """The metric of that name for a kind of task; UserError with the nearest name otherwise."""
    for definition in kind.metrics:
        if definition.name == name:
            return definition
    names = [definition.name for definition in kind.metrics]
    raise UserError(f"unknown metric {name!r} of a {kind.space.kind} task{nearest(name, names)}")


def glossary(kinds: Iterable[Scored]) -> dict[str, str]:
    """What each metric of these kinds means, in one line, by name."""
    return {each.name: each.meaning for kind in kinds for each in kind.metrics}
