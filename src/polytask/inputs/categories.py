"""Categories: vocabularies of the training rows, and a learned vector for each value."""

import itertools
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from polytask.columns.lookup import Lookup
from polytask.columns.values import (
    Coded,
    coded,
    converted,
    is_text,
    listed,
    type_name,
    value_array,
    value_kind,
    value_type,
)
from polytask.errors import UserError
from polytask.inputs.embeddings import SPARSE_ABOVE, Embeddings, embedding_dim_for, parted
from polytask.inputs.input import Feature, Input, require_one_each

MISSING_ID, UNSEEN_ID, FIRST_ID = 0, 1, 2

_MOST_NUMBERS = 1 << 16
_MOST_BUCKETS = 1 << 30
_FEW_ROWS = 256
"""So few are looked up in Python, which Arrow's calls take longer to begin with."""

# Of a million texts that are no numbers, one is enough to say so.
_FIRST = Field(fail_fast=True)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The values of one column: id 0 is missing, 1 unseen or rare, 2 + i is `values[i]`.

    Values are in order of falling count in the training rows, ties by value; of a vocabulary that has
    grown, run by run. With `num_buckets`, unseen
    and rare values are not id 1 but one of so many ids behind those of the values, by a hash of their
    text. Source: Weinberger et al., ICML 2009, Feature Hashing.
    """

    dtype: str
    values: (
        Annotated[tuple[bool, ...], _FIRST]
        | Annotated[tuple[int, ...], _FIRST]
        | Annotated[tuple[float, ...], _FIRST]
        | Annotated[tuple[str, ...], _FIRST]
    )
    num_buckets: int = 0

    def __post_init__(self) -> None:
        if len(set(self.values)) < len(self.values):
            raise UserError("a value stands twice in a vocabulary")
        if not 0 <= self.num_buckets <= _MOST_BUCKETS:
            raise UserError(f"{self.num_buckets=} must be from 0 to {_MOST_BUCKETS:,}")

    @property
    def num_ids(self) -> int:
        """Ids in all, those of missing and unseen included: the rows of an embedding."""
        return len(self.values) + FIRST_ID + self.num_buckets

    @classmethod
    def fit(cls, column: pa.ChunkedArray, what: str, *, min_count: int) -> Self:
        """The values of one column that occur in `min_count` training rows or more."""
        return cls.of_counts(type_name(column.type), counted(column, what), min_count=min_count)

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
        values = ordered["value"].slice(0, max_ids).to_numpy().tolist()
        is_whole = pc.sum(pc.greater(table["count"], 0)).as_py() == len(values)
        return cls(dtype, tuple(values), 0 if is_whole else num_buckets)

    def grown(self, later: Self) -> Self:
        """The values of both, the own ones first; `later` alone where its values are of another kind."""
        if self.values and later.values and type(self.values[0]) is not type(later.values[0]):
            return later
        known = set(self.values)
        new = tuple(value for value in later.values if value not in known)
        buckets = max(self.num_buckets, later.num_buckets)
        return replace(self, values=(*self.values, *new), num_buckets=buckets)

    def lookup(self) -> Lookup:
        """What finds the places of its values."""
        return Lookup(value_array(self.values))

    def encode(
        self, column: pa.ChunkedArray, what: str, lookup: Lookup | None = None
    ) -> NDArray[np.int64]:
        """The ids (B,); a column of another type is taken where nothing is lost.

        `lookup` is this vocabulary's own, for callers that encode more than once.
        """
        lookup = lookup or self.lookup()
        found = coded(column, what)
        ids = np.full(len(found.values), UNSEEN_ID, dtype=np.int64)
        if self.values:
            kind = value_kind(lookup.among.type)
            _refuse_lost_zeros(found, lookup.among, what)
            # -1, where a value is not found, becomes the id of unseen values.
            ids = lookup.places(converted(found, kind, what)) + FIRST_ID
        if self.num_buckets:
            unseen = ids == UNSEEN_ID
            ids[unseen] = self._buckets(found.values.filter(pa.array(unseen)))
        return found.spread(ids, missing=MISSING_ID)

    def _buckets(self, values: pa.Array) -> list[int]:
        """The ids of values without one of their own."""
        first, number = FIRST_ID + len(self.values), self.num_buckets
        texts = values.cast(pa.large_string()).to_pylist()
        return [first + zlib.crc32(text.encode()) % number for text in texts]


def counted(column: pa.ChunkedArray, what: str) -> pa.Table:
    """The column's `value`s, each once, with the `count` of their rows."""
    found = coded(column, what)
    return pa.table({"value": found.values, "count": found.counts()})


@dataclass(frozen=True)
class Categories(Input):
    """Columns of C vocabularies; each value has an embedding of `embedding_dim` numbers.

    Columns of more than `sparse_above` ids share a second matrix, with sparse gradients. `max_ids` and
    `hash_buckets` bound the rows of a column's embedding where there are more values than memory holds.

    >>> table = pa.table({"city": ["Bonn", "Kiel", "Bonn", None]})
    >>> cities = Categories.fit(table, ["city"], min_count=2)
    >>> cities.vocabularies[0].values
    ('Bonn',)
    >>> cities.encode(table).tolist()
    [[2], [1], [2], [0]]
    """

    vocabularies: tuple[Vocabulary, ...]
    embedding_dim: int
    sparse_above: int = SPARSE_ABOVE

    def __post_init__(self) -> None:
        require_one_each(self.columns, self.vocabularies, "vocabularies")
        if not 1 <= self.embedding_dim <= _MOST_NUMBERS:
            raise UserError(f"{self.embedding_dim=} must be from 1 to {_MOST_NUMBERS:,}")

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        columns: Sequence[str],
        *,
        min_count: int = 2,
        max_ids: int | None = None,
        hash_buckets: int = 0,
        embedding_dim: int | None = None,
        sparse_above: int = SPARSE_ABOVE,
    ) -> Self:
        """A value in fewer than `min_count` rows shares id 1 with unseen ones, as all do behind the
        commonest `max_ids` of a column; or one of `hash_buckets` ids, in columns with such values.

        UserErrors: values without identity, such as lists.
        """
        return cls.of_counts(
            {name: type_name(table[name].type) for name in columns},
            {name: counted(table[name], f"column {name!r}") for name in columns},
            min_count=min_count,
            max_ids=max_ids,
            hash_buckets=hash_buckets,
            embedding_dim=embedding_dim,
            sparse_above=sparse_above,
        )

    @classmethod
    def of_counts(
        cls,
        dtypes: Mapping[str, str],
        counts: Mapping[str, pa.Table],
        *,
        min_count: int = 2,
        max_ids: int | None = None,
        hash_buckets: int = 0,
        embedding_dim: int | None = None,
        sparse_above: int = SPARSE_ABOVE,
    ) -> Self:
        """The same of columns that were counted: by name, tables of `value` and `count`."""
        for name, bound in (("min_count", min_count), ("max_ids", max_ids)):
            if bound is not None and bound < 1:
                raise UserError(f"{name}={bound} must be positive")
        vocabularies = tuple(
            Vocabulary.of_counts(
                dtypes[name],
                table,
                min_count=min_count,
                max_ids=max_ids,
                num_buckets=hash_buckets,
            )
            for name, table in counts.items()
        )
        dim = embedding_dim or embedding_dim_for([one.num_ids for one in vocabularies])
        return cls(tuple(counts), vocabularies, dim, sparse_above)

    def encode(self, table: pa.Table) -> Tensor:
        """Ids (B, C), int64.

        Columns of other types than the training rows' are read where nothing is lost ("5", 5 and
        5.0), else UserError.
        """
        ids_BC = np.empty((table.num_rows, len(self.columns)), dtype=np.int64)
        for c, (name, vocabulary) in enumerate(zip(self.columns, self.vocabularies)):
            column = table[name]
            is_quick = table.num_rows <= _FEW_ROWS and not vocabulary.num_buckets
            if is_quick and _are_alike(column.type, vocabulary.values):
                id_of = self._id_of[c]
                ids_BC[:, c] = [*map(id_of.get, listed(column), itertools.repeat(UNSEEN_ID))]
            else:
                lookup = self._lookups[c]
                ids_BC[:, c] = vocabulary.encode(column, f"column {name!r}", lookup)
        return torch.from_numpy(ids_BC)

    @cached_property
    def _lookups(self) -> list[Lookup]:
        return [vocabulary.lookup() for vocabulary in self.vocabularies]

    @cached_property
    def _id_of(self) -> list[dict[object, int]]:
        """Each column's ids by value."""
        return [
            {None: MISSING_ID, **{value: i for i, value in enumerate(v.values, start=FIRST_ID)}}
            for v in self.vocabularies
        ]

    def module(self) -> "Embeddings":
        sizes = [vocabulary.num_ids for vocabulary in self.vocabularies]
        return Embeddings(sizes, self.embedding_dim, sparse_above=self.sparse_above)

    def known_words(self) -> dict[str, list[str]]:
        return self._known_words

    @cached_property
    def _known_words(self) -> dict[str, list[str]]:
        found = {
            name: [value for value in vocabulary.values if isinstance(value, str)]
            for name, vocabulary in zip(self.columns, self.vocabularies)
        }
        return {name: words for name, words in found.items() if words}

    def features(self) -> list[Feature]:
        """Each column's coordinates; columns with sparse gradients stand last."""
        sizes = [vocabulary.num_ids for vocabulary in self.vocabularies]
        small, large = parted(sizes, self.sparse_above)
        return [
            Feature(self.columns[c], f"embedding {k + 1} of {self.embedding_dim}")
            for c in (*small, *large)
            for k in range(self.embedding_dim)
        ]

    def grown(self, later: Input) -> Input:
        """Values keep their ids, and new ones follow; the width of the vectors stays."""
        assert isinstance(later, Categories)
        known = dict(zip(self.columns, self.vocabularies))
        vocabularies = tuple(
            known[name].grown(new) if name in known else new
            for name, new in zip(later.columns, later.vocabularies)
        )
        return replace(later, vocabularies=vocabularies, embedding_dim=self.embedding_dim)

    @torch.no_grad()
    def carry(self, module: nn.Module, earlier: Input, earlier_module: nn.Module) -> int:
        """Copy the vectors of values that both runs know, of missing and of unseen ones."""
        if not isinstance(earlier, Categories) or earlier.embedding_dim != self.embedding_dim:
            return 0
        assert isinstance(module, Embeddings) and isinstance(earlier_module, Embeddings)
        num_copied = 0
        for c, name in enumerate(self.columns):
            if name not in earlier.columns:
                continue
            place = earlier.columns.index(name)
            ids, their_ids = common_ids(self.vocabularies[c], earlier.vocabularies[place])
            rows = module.rows_of(c)
            rows[ids] = earlier_module.rows_of(place)[their_ids].to(rows.device)
            num_copied += len(ids)
        return num_copied


def _are_alike(dtype: pa.DataType, values: tuple[object, ...]) -> bool:
    """Whether Python compares the column's values to these as Arrow does: texts, or whole numbers."""
    if not values:
        return False
    if isinstance(values[0], str):
        return is_text(value_type(dtype))
    is_whole = isinstance(values[0], int) and not isinstance(values[0], bool)
    return is_whole and bool(pa.types.is_signed_integer(dtype))


def common_ids(new: Vocabulary, old: Vocabulary) -> tuple[list[int], list[int]]:
    """The ids of missing, of unseen and of the values in both, in the one and in the other."""
    id_of = {value: i for i, value in enumerate(old.values, start=FIRST_ID)}
    pairs = [
        (i, id_of[value]) for i, value in enumerate(new.values, start=FIRST_ID) if value in id_of
    ]
    if new.num_buckets == old.num_buckets:
        firsts = (new.num_ids - new.num_buckets, old.num_ids - old.num_buckets)
        pairs += [(firsts[0] + k, firsts[1] + k) for k in range(new.num_buckets)]
    return (
        [MISSING_ID, UNSEEN_ID, *(mine for mine, _ in pairs)],
        [MISSING_ID, UNSEEN_ID, *(theirs for _, theirs in pairs)],
    )


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
