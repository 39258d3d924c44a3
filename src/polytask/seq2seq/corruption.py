"""A sequence made wrong, so that to write it right is a task: what each word should have been is known."""

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

Entry = TypeVar("Entry", bound=Hashable)


class Corrupted(NamedTuple, Generic[Entry]):
    """The sequence, and which of its entries a reader would have to change, or to put one before."""

    sequence: list[Entry]
    is_wrong: list[bool]


def corrupt(
    sequence: Sequence[Entry],
    generator: np.random.Generator,
    *,
    among: Callable[[Entry], Sequence[Entry]],
    replace: float = 0.1,
    drop: float = 0.05,
    swap: float = 0.05,
) -> Corrupted[Entry]:
    """Each entry is exchanged for one of `among(entry)`, left out, or follows its neighbour, by these shares.

    The entry behind one that was left out is wrong; of the last one nobody tells. What is exchanged for an equal
    entry is right. A function of the generator: one of (seed, epoch, row) makes a resumed run repeat.
    `among` may return entries that one would confuse, such as words of the same beginning.

    >>> words = "she walks to the old house".split()
    >>> corrupt(words, np.random.default_rng(3), among=lambda word: [word + "s"], replace=0.3)
    Corrupted(sequence=['shes', 'walkss', 'to', 'the', 'olds', 'house'], is_wrong=[True, True, False, False, True, False])
    """
    if min(replace, drop, swap) < 0 or replace + drop + swap > 1:
        raise ValueError(f"shares of 0 to 1 together are due, but {replace=}, {drop=}, {swap=}")
    made: list[Entry] = []
    is_wrong: list[bool] = []
    is_due, place = False, 0
    while place < len(sequence):
        entry, drawn = sequence[place], generator.random()
        place += 1
        if drawn < drop:
            is_due = True
            continue
        others = among(entry) if drawn < drop + replace else ()
        chosen = others[int(generator.integers(len(others)))] if len(others) else entry
        if drop + replace <= drawn < drop + replace + swap and place < len(sequence):
            made += [sequence[place], entry]
            is_wrong += [True, True] if sequence[place] != entry else [is_due, False]
            place += 1
        else:
            made.append(chosen)
            is_wrong.append(is_due or chosen != entry)
        is_due = False
    return Corrupted(made, is_wrong)
