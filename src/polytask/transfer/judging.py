"""How well each cheap score ordered the gains that were measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polytask.records.transfer import CheapScore
from polytask.transfer.gains import rank_correlation
from polytask.transfer.trainings import matrix

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PairScore:
    """A number for every pair, (T, T): of what the first does for the second."""

    name: str
    title: str
    meaning: str
    values_TT: Floats
    judged_by_size: bool = False


def judged(score: PairScore, gains: Mapping[tuple[int, int], float]) -> CheapScore:
    """The score with its rank correlation with the gains by (cause, task).

    The two directions of a pair share trainings, so that the interval counts pairs, not directions.
    """
    values_TT = np.abs(score.values_TT) if score.judged_by_size else score.values_TT
    known = [
        (values_TT[pair], gain) for pair, gain in gains.items() if np.isfinite(values_TT[pair])
    ]
    pairs = {frozenset(pair) for pair in gains if np.isfinite(values_TT[pair])}
    found = rank_correlation(
        [value for value, _ in known], [gain for _, gain in known], num_independent=len(pairs)
    )
    shown_TT = score.values_TT.copy()
    np.fill_diagonal(shown_TT, np.nan)
    return CheapScore(
        score.name,
        score.title,
        score.meaning,
        matrix(shown_TT),
        found.num_points,
        found.value,
        found.low,
        found.high,
    )


def mean_matrix(matrices: Sequence[Sequence[Sequence[float | None]]], num_tasks: int) -> Floats:
    """The mean over seeds of recorded (T, T) matrices; NaN where none has a number."""
    known = [
        np.array([[np.nan if v is None else v for v in row] for row in each], dtype=np.float64)
        for each in matrices
        if each
    ]
    if not known:
        return np.full((num_tasks, num_tasks), np.nan)
    stacked = np.stack(known)
    count = np.isfinite(stacked).sum(axis=0)
    total = np.nansum(stacked, axis=0)
    mean_TT: Floats = np.full_like(total, np.nan)
    np.divide(total, count, out=mean_TT, where=count > 0)
    return mean_TT
