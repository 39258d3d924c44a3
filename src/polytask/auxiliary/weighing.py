"""How much an auxiliary loss weighs: a number, a schedule over training, or what a balancer says."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from polytask.errors import UserError, nearest_of_all

Weight = float | Literal["balanced"] | Mapping[str, float]
"""A number, "balanced": the balancer weighs it among the tasks', or {from, to, begin, end}."""
_KEYS = ("from", "to", "begin", "end")


@dataclass(frozen=True, slots=True)
class Schedule:
    """A weight that is `start` up to the share `begin` of training, and `stop` from `end` on.

    Between the two it moves in a straight line.

    >>> fading = Schedule(0.4, 0.0, begin=0.5, end=1.0)
    >>> [round(fading.at(progress), 2) for progress in (0, 0.5, 0.75, 1)]
    [0.4, 0.4, 0.2, 0.0]
    """

    start: float
    stop: float
    begin: float = 0.0
    end: float = 1.0

    def at(self, progress: float) -> float:
        """The weight where `progress`, from 0 to 1, of training is done."""
        part = (progress - self.begin) / (self.end - self.begin)
        return self.start + (self.stop - self.start) * min(max(part, 0.0), 1.0)


def weight_of(name: str, weight: "Weight | Schedule") -> float | Schedule | Literal["balanced"]:
    """The weight as it was asked for; UserError for one that cannot be.

    >>> weight_of("frequency", {"from": 0.3, "to": 0.0, "end": 0.5})
    Schedule(start=0.3, stop=0.0, begin=0.0, end=0.5)
    """
    if isinstance(weight, Schedule) or weight == "balanced":
        return weight
    if isinstance(weight, Mapping):
        return _schedule(name, weight)
    return _not_negative(f"{name}: weight", float(weight))


def _schedule(name: str, given: Mapping[str, float]) -> Schedule:
    for key in given:
        if key not in _KEYS:
            raise UserError(f"{name}: a weight has no {key!r}{nearest_of_all(key, _KEYS)}")
    if not {"from", "to"} <= {*given}:
        raise UserError(
            f"{name}: a weight that moves is {{from: 0.3, to: 0}}, but got {dict(given)}"
        )
    start, stop = (_not_negative(f"{name}: weight {key}", given[key]) for key in ("from", "to"))
    begin, end = float(given.get("begin", 0.0)), float(given.get("end", 1.0))
    if not 0 <= begin <= 1 or not 0 <= end <= 1:
        raise UserError(f"{name}: {begin=} and {end=} are shares of training, from 0 to 1")
    if end <= begin:
        raise UserError(
            f"{name}: the weight's schedule ends before it begins: {begin=}, {end=} (shares of training)"
        )
    return Schedule(start, stop, begin, end)


def _not_negative(what: str, value: float) -> float:
    if not (value >= 0 and math.isfinite(value)):
        raise UserError(f"{what} must be 0 or more, but it is {value:g}")
    return float(value)
