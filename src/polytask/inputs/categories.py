"""Categories: vocabularies of the training rows, and a learned vector for each value."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from polytask.columns.value_list import ValueList
from polytask.columns.values import coded, is_text, listed, type_name, value_type
from polytask.errors import UserError
from polytask.inputs.embeddings import SPARSE_ABOVE, Embeddings, embedding_dim_for, parted
from polytask.inputs.input import Feature, Input, require_one_each
from polytask.inputs.vocabulary import (
    FIRST_ID,
    MISSING_ID,
    UNSEEN_ID,
    Vocabulary,
    common_ids,
)

_MOST_NUMBERS = 1 << 16
_FEW_ROWS, _FEW_VALUES = 256, 1 << 16
"""So few are looked up in Python, which Arrow's calls take longer to begin with."""


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

    by_column: ClassVar[str] = "vocabularies"
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
            {name: coded(table[name], f"column {name!r}").tally() for name in columns},
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
            is_few = table.num_rows <= _FEW_ROWS and len(vocabulary.values) <= _FEW_VALUES
            if is_few and not vocabulary.num_buckets and _are_alike(column.type, vocabulary.values):
                id_of = self._id_of[c]
                ids_BC[:, c] = [*map(id_of.get, listed(column), itertools.repeat(UNSEEN_ID))]
            else:
                ids_BC[:, c] = vocabulary.encode(column, f"column {name!r}")
        return torch.from_numpy(ids_BC)

    @cached_property
    def _id_of(self) -> list[dict[object, int]]:
        """The ids by value of each column that has few."""
        few = [v.values if len(v.values) <= _FEW_VALUES else () for v in self.vocabularies]
        return [
            {None: MISSING_ID, **{value: i for i, value in enumerate(values, start=FIRST_ID)}}
            for values in few
        ]

    def module(self) -> "Embeddings":
        sizes = [vocabulary.num_ids for vocabulary in self.vocabularies]
        return Embeddings(sizes, self.embedding_dim, sparse_above=self.sparse_above)

    def known_words(self) -> Mapping[str, Collection[object]]:
        found = zip(self.columns, (vocabulary.values for vocabulary in self.vocabularies))
        return {name: values for name, values in found if values and values.kind == "text"}

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

    def counted_with(self, rows: Mapping[str, pa.Table]) -> Self:
        """With the rows that had the values: by column, tables of `value` and `count`."""
        named = zip(self.columns, self.vocabularies)
        found = [v.counted_with(rows[name], f"column {name!r}") for name, v in named]
        return replace(self, vocabularies=tuple(found))

    def bounded(self, most: int, *, num_buckets: int) -> Self:
        """With the commonest values of each column, as they were counted."""
        kept = (each.bounded(most, num_buckets=num_buckets) for each in self.vocabularies)
        return replace(self, vocabularies=tuple(kept))

    def seen_on(self, seen: Mapping[str, pa.Table], *, otherwise: int) -> Self:
        """With the days on which values were seen last: by column, tables of `value` and `day`."""
        named = zip(self.columns, self.vocabularies)
        found = [v.seen_on(seen[n], f"column {n!r}", otherwise=otherwise) for n, v in named]
        return replace(self, vocabularies=tuple(found))

    def seen_within(self, num_days: int) -> Self:
        """Without the values that were not seen in the last `num_days` days, the newest one among them."""
        newest = max(int(v.days(otherwise=0).max(initial=0)) for v in self.vocabularies)
        kept = tuple(v.since(newest - num_days + 1) for v in self.vocabularies)
        return replace(self, vocabularies=kept)

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


def _are_alike(dtype: pa.DataType, values: ValueList) -> bool:
    """Whether Python compares the column's values to these as Arrow does: texts, or whole numbers."""
    if not values:
        return False
    if values.kind == "text":
        return is_text(value_type(dtype))
    return values.kind == "integer" and bool(pa.types.is_signed_integer(dtype))
