"""Vocabularies: the values of a column and their ids, bounded where there are too many."""

import zlib
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.columns.packed import PackedArray
from polytask.columns.value_list import ValueList
from polytask.columns.values import Coded, coded, converted, type_name, value_kind
from polytask.errors import UserError

MISSING_ID, UNSEEN_ID, FIRST_ID = 0, 1, 2

_MOST_BUCKETS = 1 << 30


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The values of one column: id 0 is missing, 1 unseen or rare, 2 + i is `values[i]`.

    Values are in order of falling count in the training rows, ties by value; of a vocabulary that has
    grown, run by run. With `num_buckets`, unseen
    and rare values are not id 1 but one of so many ids behind those of the values, by a hash of their
    text. Source: Weinberger et al., ICML 2009, Feature Hashing.

    `last_seen` are the days since 1970 of the last training rows that had the values, where rows have
    times; `counts` how many training rows (or words) had them, where there is a most of them. Of values behind them it
    is not known.
    """

    dtype: str
    values: ValueList
    num_buckets: int = 0
    last_seen: PackedArray | None = None
    counts: PackedArray | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.num_buckets <= _MOST_BUCKETS:
            raise UserError(f"{self.num_buckets=} must be from 0 to {_MOST_BUCKETS:,}")

    @property
    def num_ids(self) -> int:
        """Ids in all, those of missing and unseen included: the rows of an embedding."""
        return len(self.values) + FIRST_ID + self.num_buckets

    @classmethod
    def fit(cls, column: pa.ChunkedArray, what: str, *, min_count: int) -> Self:
        """The values of one column that occur in `min_count` training rows or more."""
        return cls.of_counts(
            type_name(column.type), coded(column, what).tally(), min_count=min_count
        )

    @classmethod
    def of_counts(
        cls,
        dtype: str,
        table: pa.Table,
        *,
        min_count: int,
        max_ids: int | None = None,
        num_buckets: int = 0,
    ) -> Self:
        """The same of a table of `value` and `count`: the commonest `max_ids` at most, and buckets
        only where a value is left without an id of its own."""
        kept = table.filter(pc.greater_equal(table["count"], max(min_count, 1)))
        ordered = kept.sort_by([("count", "descending"), ("value", "ascending")])
        values = ordered["value"].slice(0, max_ids).combine_chunks()
        is_whole = pc.sum(pc.greater(table["count"], 0)).as_py() == len(values)
        return cls(dtype, ValueList(values), 0 if is_whole else num_buckets)

    def grown(self, later: Self) -> Self:
        """The values of both, the own ones first; `later` alone where its values are of another kind."""
        if not self.values or not later.values:
            values = self.values or later.values
        elif self.values.kind != later.values.kind:
            return later
        else:
            values = self.values.followed_by(later.values)
        return replace(self, values=values, num_buckets=max(self.num_buckets, later.num_buckets))

    def days(self, *, otherwise: int) -> NDArray[np.int64]:
        """The day on which each value was seen last, `otherwise` where that is not known."""
        return _padded(self.last_seen, len(self.values), otherwise)

    def counted_with(self, rows: pa.Table, what: str) -> Self:
        """With the rows of a table of `value` and `count`, beside those of earlier runs."""
        counts = _padded(self.counts, len(self.values), 0)
        places = self._places(rows["value"].combine_chunks(), what)
        is_known = places >= 0
        np.add.at(counts, places[is_known], rows["count"].to_numpy()[is_known])
        return replace(self, counts=PackedArray.of(counts))

    def bounded(self, most: int, *, num_buckets: int = 0) -> Self:
        """Without the rarest values, where there are more than so many; of equally rare ones the first stay."""
        if len(self.values) <= most:
            return self
        counts = _padded(self.counts, len(self.values), 0)
        is_kept = np.zeros(len(counts), dtype=np.bool_)
        is_kept[np.argsort(-counts, kind="stable")[:most]] = True
        return replace(self._only(is_kept), num_buckets=self.num_buckets or num_buckets)

    def seen_on(self, seen: pa.Table, what: str, *, otherwise: int) -> Self:
        """With the last days of rows that were counted: a table of `value`, `count` and `day`.

        A value that neither they nor an earlier run date was seen on the day `otherwise`.
        """
        places = self._places(seen["value"].combine_chunks(), what)
        is_known = places >= 0
        days = self.days(otherwise=otherwise)
        np.maximum.at(days, places[is_known], seen["day"].to_numpy()[is_known])
        return replace(self, last_seen=PackedArray.of(days))

    def since(self, day: int) -> Self:
        """Without the values that were not seen from this day on; they are unseen ones again."""
        days = self.days(otherwise=day)
        return replace(self, last_seen=PackedArray.of(days))._only(days >= day)

    def _only(self, is_kept: NDArray[np.bool_]) -> Self:
        """Some of the values, and what is known of them."""
        values = ValueList(self.values.array.filter(pa.array(is_kept)))
        last_seen, counts = (
            None if known is None else PackedArray.of(known.array()[is_kept[: known.shape[0]]])
            for known in (self.last_seen, self.counts)
        )
        return replace(self, values=values, last_seen=last_seen, counts=counts)

    def _places(self, others: pa.Array, what: str) -> NDArray[np.int64]:
        """The place of each of some values that differ; -1 where it is none of these."""
        if not self.values:
            return np.full(len(others), -1)
        found = Coded(others, np.arange(len(others), dtype=np.int32))
        return self._places_of(found, what)

    def _places_of(self, found: Coded, what: str) -> NDArray[np.int64]:
        """The same of the values of a column, read as these are where nothing is lost."""
        _refuse_lost_zeros(found, self.values.array, what)
        return self.values.lookup.places(converted(found, self.values.kind, what))

    def encode(self, column: pa.ChunkedArray, what: str) -> NDArray[np.int64]:
        """The ids (B,); a column of another type is taken where nothing is lost."""
        found = coded(column, what)
        ids = np.full(len(found.values), UNSEEN_ID, dtype=np.int64)
        if self.values:
            # -1, where a value is not found, becomes the id of unseen values.
            ids = self._places_of(found, what) + FIRST_ID
        if self.num_buckets:
            unseen = ids == UNSEEN_ID
            ids[unseen] = self._buckets(found.values.filter(pa.array(unseen)))
        return found.spread(ids, missing=MISSING_ID)

    def _buckets(self, values: pa.Array) -> list[int]:
        """The ids of values without one of their own."""
        first, number = FIRST_ID + len(self.values), self.num_buckets
        texts = values.cast(pa.large_string()).to_pylist()
        return [first + zlib.crc32(text.encode()) % number for text in texts]


def _padded(known: PackedArray | None, length: int, otherwise: int) -> NDArray[np.int64]:
    """Numbers of the first values, and another one of the rest."""
    numbers = np.full(length, otherwise, dtype=np.int64)
    if known is not None:
        numbers[: known.shape[0]] = known.array()
    return numbers


def common_ids(new: Vocabulary, old: Vocabulary) -> tuple[Tensor, Tensor]:
    """The ids of missing, of unseen and of the values in both, in the one and in the other."""
    mine = [np.array([MISSING_ID, UNSEEN_ID])]
    theirs = [*mine]
    if new.values and old.values and new.values.kind == old.values.kind:
        places = old.values.lookup.places(new.values.array)
        known = np.flatnonzero(places >= 0)
        mine.append(known + FIRST_ID)
        theirs.append(places[known] + FIRST_ID)
    if new.num_buckets == old.num_buckets:
        buckets = np.arange(new.num_buckets)
        mine.append(new.num_ids - new.num_buckets + buckets)
        theirs.append(old.num_ids - old.num_buckets + buckets)
    return torch.from_numpy(np.concatenate(mine)), torch.from_numpy(np.concatenate(theirs))


def _refuse_lost_zeros(found: Coded, vocabulary: pa.Array, what: str) -> None:
    """Numbers where the vocabulary has "007" were text whose zeros a reader dropped."""
    if found.kind not in ("integer", "float") or value_kind(vocabulary.type) != "text":
        return
    padded = pc.match_substring_regex(vocabulary, r"^0[0-9]+$")
    if len(found.values) and pc.any(padded).as_py():
        example = vocabulary.filter(padded)[0].as_py()
        raise UserError(
            f"{what} was text with leading zeros in the training rows (such as {example!r}) "
            f"and is {found.kind} here: read it as text"
        )
