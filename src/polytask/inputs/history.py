"""Histories: what was observed of the same user, item or pair before a row's own time."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from polytask.columns.numbers import numbers
from polytask.columns.packed import PackedArray
from polytask.columns.times import times
from polytask.columns.values import is_number, value_type
from polytask.errors import UserError
from polytask.inputs.input import Feature, Input
from polytask.inputs.number_bins import NumericBins
from polytask.inputs.numbers import Numbers
from polytask.inputs.vocabulary import FIRST_ID, Vocabulary

NO_TARGETS: Mapping[str, NDArray[np.floating]] = MappingProxyType({})
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
        codes_B = _codes(table, key, vocabularies)
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
        first_B = _codes(table, self.key, self.vocabularies) * num_blocks
        start_B = np.searchsorted(places, first_B)
        stop_B = np.searchsorted(places, first_B + known_B)
        return np.where(first_B[:, None] < 0, 0.0, before[stop_B] - before[start_B])


@dataclass(frozen=True)
class KeyHistory(Input):
    """For each key (a user, an item, a pair of them) how often it was seen, and its mean labels.

    The columns are those of the keys and the one of the time. Only blocks of time before a row's
    own count: a training row knows its past as stale as a row to come does, and never its own label.
    Means are drawn to the overall mean as if `smoothing` more rows had it (Micci-Barreca, SIGKDD
    Explorations 2001, with the weight n / (n + smoothing)).

    >>> log = pa.table({"user": ["a", "a", "b", "a"], "day": [1, 2, 2, 3]})
    >>> clicks = {"click": np.array([1.0, 0.0, 0.0, 1.0])}
    >>> past = KeyHistory.fit(log, ["user", "day"], time="day", targets=clicks, width=1, smoothing=1)
    >>> past.observed(log)["user: mean of click before"].to_pylist()
    [0.5, 0.75, 0.5, 0.5]
    """

    time: str
    targets: tuple[str, ...]
    blocks: Blocks
    means: tuple[float, ...]
    smoothing: float
    pasts: tuple[Past, ...]
    scales: Numbers

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        columns: Sequence[str],
        *,
        time: str | None = None,
        keys: Sequence[Sequence[str]] = (),
        targets: Mapping[str, NDArray[np.floating]] = NO_TARGETS,
        width: float | None = None,
        smoothing: float = 20.0,
        num_bins: int = 8,
    ) -> Self:
        """`time` is one of the columns, `keys` are sets of the others: by default each alone.

        `targets` are labels (B,), NaN where missing. `width` is that of a block of time, in the
        column's unit; by default a tenth of the training rows' span. UserErrors: no time.
        """
        if time is None or time not in columns:
            raise UserError("a history needs the column of its time: name it by --time-column")
        if not smoothing >= 0:
            raise UserError(f"{smoothing=} must not be negative")
        found = tuple(tuple(key) for key in keys) or tuple((c,) for c in columns if c != time)
        times_B = _moments(table[time], f"column {time!r}")
        blocks = Blocks.fit(times_B, width)
        targets_BT = np.stack([np.empty((table.num_rows, 0)).sum(1), *targets.values()], 1)[:, 1:]
        own_B = blocks.known(times_B).clip(0, blocks.count - 1)
        pasts = tuple(Past.fit(table, key, own_B, targets_BT, blocks.count) for key in found)
        means = tuple(float(np.nanmean(target_B)) for target_B in targets_BT.T)
        unscaled = cls(
            *(tuple(columns), time, tuple(targets), blocks, means, float(smoothing), pasts),
            Numbers((), ()),
        )
        observed = unscaled.observed(table)
        scales = Numbers.fit(observed, observed.column_names, num_bins=num_bins)
        return cls(
            *(tuple(columns), time, tuple(targets), blocks, means, float(smoothing), pasts), scales
        )

    def encode(self, table: pa.Table) -> Tensor:
        """For each key log(1 + rows) and the smoothed mean of each target, standardised, float32."""
        return self.scales.encode(self.observed(table))

    def module(self) -> NumericBins:
        return self.scales.module()

    def features(self) -> list[Feature]:
        named = {
            name: (past.key[0], f"{' * '.join(past.key)}: {what}")
            for past in self.pasts
            for what, name in zip(self._whats(), self._names(past))
        }
        return [
            Feature(named[each.column][0], f"{named[each.column][1]}, {each.what}")
            for each in self.scales.features()
        ]

    def known_words(self) -> Mapping[str, Collection[object]]:
        found = chain.from_iterable(zip(past.key, past.vocabularies) for past in self.pasts)
        return {name: v.values for name, v in found if v.values and v.values.kind == "text"}

    def _whats(self) -> list[str]:
        return ["rows before", *(f"mean of {target} before" for target in self.targets)]

    def _names(self, past: Past) -> list[str]:
        return [f"{' * '.join(past.key)}: {what}" for what in self._whats()]

    def observed(self, table: pa.Table) -> pa.Table:
        """The features as plain columns, in their own units."""
        known_B = self.blocks.known(_moments(table[self.time], f"column {self.time!r}"))
        columns: dict[str, NDArray[np.float64]] = {}
        for past in self.pasts:
            seen = past.before(table, known_B, self.blocks.count)
            labelled_BT, sum_BT = seen[:, 1::2], seen[:, 2::2]
            weight_BT = labelled_BT + self.smoothing
            with np.errstate(invalid="ignore"):
                mean_BT = (sum_BT + self.smoothing * np.array(self.means)) / weight_BT
            mean_BT = np.where(weight_BT > 0, mean_BT, np.array(self.means))
            values = [np.log1p(seen[:, 0]), *mean_BT.T]
            columns |= dict(zip(self._names(past), values))
        return pa.table(columns)


def _codes(
    table: pa.Table, key: Sequence[str], vocabularies: Sequence[Vocabulary]
) -> NDArray[np.int64]:
    """One number for each value of the key, -1 where a part is missing or was never seen."""
    codes_B = np.zeros(table.num_rows, dtype=np.int64)
    unknown_B = np.zeros(table.num_rows, dtype=bool)
    for name, vocabulary in zip(key, vocabularies):
        ids_B = vocabulary.encode(table[name], f"column {name!r}")
        unknown_B |= ids_B < FIRST_ID
        codes_B = codes_B * vocabulary.num_ids + ids_B
    if np.prod([float(vocabulary.num_ids) for vocabulary in vocabularies]) > _LARGEST_CODE:
        raise UserError(f"the history of {' * '.join(key)} has too many values")
    return np.where(unknown_B, -1, codes_B)


def _moments(column: pa.ChunkedArray, what: str) -> NDArray[np.float64]:
    """Numbers as they are, times in microseconds; NaN where missing."""
    if is_number(value_type(column.type)):
        return numbers(column, what)
    return numbers(times(column, what, unit=None).cast(pa.int64()), what)
