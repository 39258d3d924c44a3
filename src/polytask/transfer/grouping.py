"""Which tasks to train together: the best partition into at most so many models."""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

MOST_EXACT = 12
"""With more tasks than this the best partition is searched for, not found for certain."""

Group = tuple[int, ...]
Floats = NDArray[np.float64]


def mean_incoming(affinity_TT: Floats) -> Callable[[Group], float]:
    """A group's value: the sum over its tasks of the mean affinity that comes in from the others.

    affinity[i, j] is what task i does for task j; NaN counts 0, and so does a task alone. As in Fifty
    et al. (NeurIPS 2021, section 4) and, for gains of pairs, Standley et al. (ICML 2020).

    >>> mean_incoming(np.array([[0.0, 2.0], [1.0, 0.0]]))((0, 1))
    3.0
    """
    known_TT = np.nan_to_num(affinity_TT, nan=0.0)
    np.fill_diagonal(known_TT, 0.0)

    def value(group: Group) -> float:
        if len(group) < 2:
            return 0.0
        within = known_TT[np.ix_(group, group)]
        return float(within.sum() / (len(group) - 1))

    return value


def best_partition(
    num_tasks: int, value: Callable[[Group], float], *, max_models: int | None = None
) -> tuple[Group, ...]:
    """The partition into at most `max_models` groups with the largest sum of `value`.

    Exact up to 12 tasks, for any function of a group: the best partition of a set is its best first
    group and the best partition of the rest, over all subsets. Beyond, groups are merged as long as
    that loses nothing, or while there are too many. Of equal sums the one of fewer models is taken.

    >>> value = mean_incoming(np.array([[0, 1, -1], [1, 0, -1], [-1, -1, 0.0]]))
    >>> best_partition(3, value, max_models=2)
    ((0, 1), (2,))
    """
    max_models = num_tasks if max_models is None else max_models
    if not (num_tasks >= 1 and max_models >= 1):
        raise ValueError(f"there must be a task and a model, but {num_tasks=} and {max_models=}")
    if num_tasks > MOST_EXACT:
        return _merged(num_tasks, value, max_models)
    return _exact(num_tasks, value, min(max_models, num_tasks))


def all_groups(num_tasks: int, *, smallest: int = 1) -> list[Group]:
    """Every group of at least so many tasks, small ones first.

    >>> all_groups(3, smallest=2)
    [(0, 1), (0, 2), (1, 2), (0, 1, 2)]
    """
    sizes = range(smallest, num_tasks + 1)
    return [group for size in sizes for group in combinations(range(num_tasks), size)]


def _exact(num_tasks: int, value: Callable[[Group], float], max_models: int) -> tuple[Group, ...]:
    """Dynamic programming over subsets, written as bits: 3^T steps."""
    num_sets = 1 << num_tasks
    value_S = np.array([value(_members(s)) if s else 0.0 for s in range(num_sets)])
    best_S = np.where(np.arange(num_sets) == 0, 0.0, -np.inf)
    chosen: list[NDArray[np.intp]] = []
    for _ in range(max_models):
        # One model more; a set that needs no more keeps what it has.
        improved_S, first_S = best_S.copy(), np.zeros(num_sets, dtype=np.intp)
        for whole in range(1, num_sets):
            firsts = _subsets_with_lowest(whole)
            sums = value_S[firsts] + best_S[whole ^ firsts]
            place = int(sums.argmax())
            # A rounding error must not open a model.
            if sums[place] > best_S[whole] + 1e-12 * (1 + abs(sums[place])):
                improved_S[whole], first_S[whole] = sums[place], firsts[place]
        chosen.append(first_S)
        best_S = improved_S
    return _read_back(num_sets - 1, chosen)


def _read_back(rest: int, chosen: Sequence[NDArray[np.intp]]) -> tuple[Group, ...]:
    groups = []
    for first_S in reversed(chosen):
        first = int(first_S[rest])
        if first:
            groups.append(_members(first))
            rest ^= first
    return tuple(sorted(groups))


def _subsets_with_lowest(whole: int) -> NDArray[np.intp]:
    """All subsets that hold the lowest member: each partition is met once."""
    lowest = whole & -whole
    others = np.zeros(1, dtype=np.intp)
    for bit in _members(whole ^ lowest):
        others = np.concatenate([others, others | (1 << bit)])
    return others | lowest


def _members(bits: int) -> Group:
    return tuple(place for place in range(bits.bit_length()) if bits >> place & 1)


def _merged(num_tasks: int, value: Callable[[Group], float], max_models: int) -> tuple[Group, ...]:
    groups: list[Group] = [(task,) for task in range(num_tasks)]
    while len(groups) > 1:
        options = [
            (value(tuple(sorted(a + b))) - value(a) - value(b), a, b)
            for a, b in combinations(groups, 2)
        ]
        gain, a, b = max(options)
        if gain < 0 and len(groups) <= max_models:
            break
        groups = [g for g in groups if g not in (a, b)] + [tuple(sorted(a + b))]
    return tuple(sorted(groups))
