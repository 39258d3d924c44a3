"""Curves from logged steps: thinned, smoothed, and set against each other. Pure functions."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from polytask.records import StepRecord, ValidationRecord

Floats = NDArray[np.float64]
LineT = TypeVar("LineT", StepRecord, ValidationRecord)
MOST_POINTS = 240
"""More points than this are drawn as means of neighbours: a panel has about 300 pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Values at steps, ascending."""

    step_P: Floats
    value_P: Floats

    def __len__(self) -> int:
        return len(self.step_P)

    def thinned(self, most: int = MOST_POINTS) -> "Curve":
        """At most `most` points, each the mean of about equally many neighbours."""
        if len(self) <= most:
            return self
        starts = np.linspace(0, len(self), most, endpoint=False).astype(np.intp)
        size = np.diff(np.append(starts, len(self)))
        steps, values = (np.add.reduceat(v, starts) / size for v in (self.step_P, self.value_P))
        return Curve(steps, values)

    def smoothed(self, share: float = 0.05) -> "Curve":
        """The mean over a window of `share` of the points around each, shorter at the ends."""
        reach = int(len(self) * share / 2)
        total = np.concatenate([[0.0], np.cumsum(self.value_P)])
        place = np.arange(len(self))
        # As far back as ahead, so that the ends are not pulled to one side.
        reach_P = np.minimum(reach, np.minimum(place, len(self) - 1 - place))
        first, last = place - reach_P, place + reach_P + 1
        return Curve(self.step_P, (total[last] - total[first]) / (last - first))


def curve_of(records: Iterable[LineT], value: Callable[[LineT], float | None]) -> Curve:
    """`value` of each line of steps.jsonl over its step; a line where it is not known is left out."""
    pairs = [(line.step, value(line)) for line in records]
    known = [(step, found) for step, found in pairs if found is not None and math.isfinite(found)]
    points = np.asarray(known, dtype=np.float64).reshape(-1, 2)
    return Curve(points[:, 0], points[:, 1])


def training_losses(steps: Iterable[StepRecord], task: str) -> Curve:
    """The task's loss at the logged steps that had it."""
    return curve_of(steps, lambda step: step.losses.get(task))


def training_weights(steps: Iterable[StepRecord], task: str) -> Curve:
    """The task's weight at the logged steps that had it."""
    return curve_of(steps, lambda step: step.weights.get(task))


def mean_cosines(steps: Iterable[StepRecord], tasks: Sequence[str]) -> Floats:
    """The mean over the steps of each pair's cosine (T, T); NaN where a pair was never measured."""
    total_TT, count_TT = np.zeros((2, len(tasks), len(tasks)))
    place = {task: position for position, task in enumerate(tasks)}
    measured = (
        (place[one], place[other], cosine)
        for step in steps
        for one, others in step.cosines.items()
        for other, cosine in others.items()
        if one in place and other in place
    )
    for one, other, cosine in measured:
        for pair in ((one, other), (other, one)):
            total_TT[pair] += cosine
            count_TT[pair] += 1
    return np.divide(total_TT, count_TT, out=np.full_like(total_TT, np.nan), where=count_TT > 0)


def mean_norms(steps: Iterable[StepRecord]) -> dict[str, float]:
    """The mean length of each task's gradient over the steps that measured it."""
    found: dict[str, list[float]] = {}
    for step in steps:
        for task, norm in step.norms.items():
            found.setdefault(task, []).append(norm)
    return {task: float(np.mean(norms)) for task, norms in found.items()}


def relative_rates(losses: dict[str, Curve]) -> dict[str, Curve]:
    """L_i(t) / L_i(0) over its mean over the tasks, per task (Chen et al., ICML 2018, eq. 3).

    L_i(0) is the task's first logged loss, L_i(t) the smoothed one. Tasks with fewer than two
    points, or a loss that is not positive (a Poisson loss can be negative), have no rate.
    """
    kept = {
        task: Curve(curve.step_P, curve.smoothed(0.15).value_P / curve.value_P[0])
        for task, curve in losses.items()
        if len(curve) > 1 and (curve.value_P > 0).all()
    }
    if len(kept) < 2:
        return {}
    steps = max(kept.values(), key=len).step_P
    share_TP = np.stack([np.interp(steps, c.step_P, c.value_P) for c in kept.values()])
    rate_TP = share_TP / share_TP.mean(axis=0)
    return {task: Curve(steps, rate_P) for task, rate_P in zip(kept, rate_TP)}


def effective_number(mean_E: Sequence[float]) -> float:
    """exp(entropy): how many experts an even gate would use to be as spread as this one."""
    share_E = np.asarray(mean_E, dtype=np.float64)
    share_E = share_E[share_E > 0] / share_E.sum()
    return float(np.exp(-(share_E * np.log(share_E)).sum()))
