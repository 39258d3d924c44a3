"""What was observed of the values of a key, by block of time, and what earlier runs saw of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.columns.packed import PackedArray
from polytask.errors import UserError
from polytask.inputs.vocabulary import FIRST_ID, Vocabulary

_NUM_BLOCKS = 10
_MOST_BLOCKS = 10_000
_LARGEST_CODE = 1 << 49


@dataclass(frozen=True, slots=True)
class Blocks:
    """Spans of time of one width, counted backwards from the end of the training rows.

    A row knows the blocks before its own; from `end` on, all `count` of them. Widths and times are
    in the time column's unit, microseconds where it has none.
    """

    end: float
    width: float
    count: int

    def __post_init__(self) -> None:
        if not (np.isfinite(self.end) and self.width > 0 and 1 <= self.count <= _MOST_BLOCKS):
            raise UserError(
                f"{self.count:,} blocks of {self.width:g} cannot part the past: name a width that "
                f"makes {_MOST_BLOCKS:,} at most"
            )

    @classmethod
    def fit(cls, times_B: NDArray[np.float64], width: float | None) -> Self:
        """All training times; without a width a tenth of what they span."""
        present = times_B[~np.isnan(times_B)]
        if not len(present):
            raise UserError("no training row has a time")
        end = float(np.nextafter(present.max(), np.inf))
        span = end - float(present.min())
        width = width or span / _NUM_BLOCKS
        return cls(end, width, int(min(np.ceil(span / width), _MOST_BLOCKS + 1)))

    def known(self, times_B: NDArray[np.float64]) -> NDArray[np.int64]:
        """How many blocks each row knows; all of them where its time is missing."""
        back_B = np.ceil((self.end - times_B) / self.width)
        return self.count - np.nan_to_num(back_B, nan=0.0).clip(0, self.count).astype(np.int64)


@dataclass(frozen=True)
class Past:
    """What was observed of the values of one key, in each block of time where it was observed.

    `places` (P,) ascend: the code of a value times the number of blocks, plus the block. Of each,
    `observed` (P, 1 + 2 * targets) are its rows, and of every target its labels and their sum.
    """

    key: tuple[str, ...]
    vocabularies: tuple[Vocabulary, ...]
    places: PackedArray
    observed: PackedArray

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        key: tuple[str, ...],
        block_B: NDArray[np.int64],
        targets_BT: NDArray[np.float64],
        num_blocks: int,
    ) -> Self:
        """Counts and sums of the training rows; `block_B` are their own blocks."""
        vocabularies = tuple(
            Vocabulary.fit(table[name], f"column {name!r}", min_count=1) for name in key
        )
        codes_B = codes_of(table, key, vocabularies)
        kept_B = codes_B >= 0
        place_B = codes_B[kept_B] * num_blocks + block_B[kept_B]
        places, of_B = np.unique(place_B, return_inverse=True)
        labelled_BT = ~np.isnan(targets_BT[kept_B])
        sums = [np.bincount(of_B, minlength=len(places))]
        for labelled_B, target_B in zip(labelled_BT.T, targets_BT[kept_B].T):
            sums.append(np.bincount(of_B, labelled_B, len(places)))
            sums.append(np.bincount(of_B, np.nan_to_num(target_B), len(places)))
        observed = np.stack(sums, axis=1).astype(np.float64)
        return cls(key, vocabularies, PackedArray.of(places), PackedArray.of(observed))

    @cached_property
    def _cumulative(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The places, and before each of them all that was observed of values up to it."""
        places, observed = self.places.array(), self.observed.array()
        if places.dtype != np.int64 or observed.ndim != 2 or len(observed) != len(places):
            raise UserError(f"the history of {' * '.join(self.key)} is damaged: its arrays differ")
        before = np.zeros((len(places) + 1, observed.shape[1]))
        np.cumsum(observed, axis=0, out=before[1:])
        return places.astype(np.int64), before

    def before(
        self, table: pa.Table, known_B: NDArray[np.int64], num_blocks: int
    ) -> NDArray[np.float64]:
        """What was observed in the first `known_B` blocks of each row's value (B, 1 + 2 T)."""
        places, before = self._cumulative
        first_B = codes_of(table, self.key, self.vocabularies) * num_blocks
        start_B = np.searchsorted(places, first_B)
        stop_B = np.searchsorted(places, first_B + known_B)
        return np.where(first_B[:, None] < 0, 0.0, before[stop_B] - before[start_B])

    def can_join(self, later: "Past") -> bool:
        """Whether the values of both are of one kind."""
        pairs = zip(self.vocabularies, later.vocabularies)
        kinds = [(a.values.kind, b.values.kind) for a, b in pairs if a.values and b.values]
        return self.key == later.key and all(mine == theirs for mine, theirs in kinds)

    @classmethod
    def total(cls, parts: Sequence[tuple["Past", int]]) -> "Past":
        """All that several observed of one key, as one block of time; beside each its number of blocks."""
        (first, _), *others = parts
        vocabularies = first.vocabularies
        for past, _ in others:
            vocabularies = tuple(a.grown(b) for a, b in zip(vocabularies, past.vocabularies))
        codes = [past._codes_in(vocabularies, num_blocks) for past, num_blocks in parts]
        places, of_P = np.unique(np.concatenate(codes), return_inverse=True)
        every = np.concatenate([past.observed.array() for past, _ in parts])
        observed = np.zeros((len(places), every.shape[1]))
        np.add.at(observed, of_P, every)
        return cls(first.key, vocabularies, PackedArray.of(places), PackedArray.of(observed))

    def _codes_in(self, vocabularies: Sequence[Vocabulary], num_blocks: int) -> NDArray[np.int64]:
        """The values of its places by their ids in vocabularies that hold all of them (P,)."""
        codes, factor = self.places.array().astype(np.int64) // num_blocks, 1
        found = np.zeros(len(codes), dtype=np.int64)
        for mine, theirs in reversed(list(zip(self.vocabularies, vocabularies))):
            codes, ids = np.divmod(codes, mine.num_ids)
            places = theirs.values.lookup.places(mine.values.array)
            found += factor * (places[ids - FIRST_ID] + FIRST_ID)
            factor *= theirs.num_ids
        return found


@dataclass(frozen=True)
class Earlier:
    """What earlier runs observed before `end`, by key: rows from then on know all of it, others nothing."""

    end: float
    pasts: tuple[Past, ...]


def codes_of(
    table: pa.Table, key: Sequence[str], vocabularies: Sequence[Vocabulary]
) -> NDArray[np.int64]:
    """One number for each value of the key, -1 where a part is missing or was never seen."""
    if np.prod([float(vocabulary.num_ids) for vocabulary in vocabularies]) > _LARGEST_CODE:
        raise UserError(f"the history of {' * '.join(key)} has too many values")
    codes_B = np.zeros(table.num_rows, dtype=np.int64)
    unknown_B = np.zeros(table.num_rows, dtype=bool)
    for name, vocabulary in zip(key, vocabularies):
        ids_B = vocabulary.encode(table[name], f"column {name!r}")
        unknown_B |= ids_B < FIRST_ID
        codes_B = codes_B * vocabulary.num_ids + ids_B
    return np.where(unknown_B, -1, codes_B)
