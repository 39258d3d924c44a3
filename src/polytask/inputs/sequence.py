"""Lists of ids or numbers: what a user saw, the tags of a text; and the item that they are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from polytask.columns.values import is_text, told
from polytask.columns.words import is_list
from polytask.errors import UserError, nearest
from polytask.inputs.embeddings import embedding_dim_for
from polytask.inputs.input import Feature, Input
from polytask.inputs.sequence_attention import TargetAttention
from polytask.inputs.sequence_encoder import PaddedEmbedding, carry_embeddings
from polytask.inputs.sequence_lists import Bins, Entries, entries_of
from polytask.inputs.sequence_padding import PADDING, cut, lengths_of, padded
from polytask.inputs.sequence_pooling import Pooling
from polytask.inputs.vocabulary import Vocabulary

SequencePooling = Literal["mean", "attention", "gru", "lstm", "transformer"]


@dataclass(frozen=True)
class Sequences(Input):
    """List columns, each pooled to a vector, and at most one plain column: the item, with its embedding.

    Columns of one `table` share its embeddings. Of a list that is longer than `longest` the last
    entries are read. The pooling "attention" is `TargetAttention` for the lists that share the item's
    table, and the mean for others.

    >>> table = pa.table({"seen": [[7, 8, 7], [], None], "item": [8, 7, 9]})
    >>> seen = Sequences.fit(table, ["seen", "item"], min_count=1)
    >>> seen.encode(table).tolist()
    [[[2, 3, 2], [3, 0, 0]], [[0, 0, 0], [2, 0, 0]], [[0, 0, 0], [4, 0, 0]]]
    """

    item: int | None
    longest: int
    table_of: tuple[int, ...]
    tables: tuple[Vocabulary | Bins, ...]
    embedding_dim: int
    pooling: Pooling
    is_attention: bool

    def __post_init__(self) -> None:
        if len(self.table_of) != len(self.columns) or set(self.table_of) != set(
            range(len(self.tables))
        ):
            raise UserError(
                f"{len(self.tables)} tables and {len(self.columns)}, but {self.table_of=}"
            )
        if self.longest < 1 or self.embedding_dim < 1:
            raise UserError(f"{self.longest=} and {self.embedding_dim=} must be positive")
        if self.item is not None and not 0 <= self.item < len(self.columns):
            raise UserError(f"there is no column {self.item=}")

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        columns: Sequence[str],
        *,
        encoder: SequencePooling | None = None,
        numbers: tuple[str, ...] = (),
        shared: bool | tuple[str, ...] = True,
        max_length: int = 50,
        min_count: int = 2,
        embedding_dim: int | None = None,
        num_bins: int = 16,
        width: int = 32,
        num_layers: int = 1,
        num_heads: int = 4,
        dropout: float = 0.0,
    ) -> Self:
        """Vocabularies of the entries, and how long the longest training list is, up to `max_length`.

        `encoder` is attention where there is an item column, else the mean. Columns of one type share
        a table, or those that `shared` names. Decimal numbers, and the lists that `numbers` names, are
        read as `num_bins` bins. UserErrors: columns of other types, two items, options that do not fit.
        """
        _check_options(columns, numbers, shared, (max_length, min_count, num_bins))
        plain = [c for c, name in enumerate(columns) if not is_list(table[name].type)]
        if len(plain) > 1 or len(plain) == len(columns):
            names = ", ".join(columns[c] for c in plain)
            raise UserError(
                f"sequence: lists and at most one plain column, the item, but got {names}"
            )
        found = [entries_of(table[name], f"column {name!r}") for name in columns]
        table_of = _parted(columns, found, numbers, shared)
        tables = [
            _fit_table(
                [each for each, place in zip(found, table_of) if place == t],
                min_count,
                num_bins,
                is_numbers=columns[table_of.index(t)] in numbers,
            )
            for t in range(len(set(table_of)))
        ]
        longest = max(int(each.lengths_B.max(initial=1)) for each in found)
        is_attention = (encoder or "attention") == "attention" and bool(plain)
        if encoder == "attention" and not plain:
            raise UserError(
                "sequence: attention weighs entries by an item: name its column among them"
            )
        name = "mean" if encoder is None or encoder == "attention" else encoder
        return cls(
            tuple(columns),
            plain[0] if plain else None,
            min(longest, max_length),
            tuple(table_of),
            tuple(tables),
            embedding_dim or embedding_dim_for([each.num_ids for each in tables]),
            Pooling(name, width, num_layers, num_heads, dropout=dropout),
            is_attention,
        )

    def encode(self, table: pa.Table) -> Tensor:
        """Ids (B, C, longest), int32: 0 behind a list's end, 1 an entry that is unseen or rare."""
        ids_BCL = np.empty((table.num_rows, len(self.columns), self.longest), dtype=np.int32)
        for c, name in enumerate(self.columns):
            what = f"column {name!r}"
            found = entries_of(table[name], what)
            ids_N = self.tables[self.table_of[c]].encode(found.values_N, what)
            ids_BCL[:, c] = padded(ids_N, found.lengths_B, self.longest, keep_last=True)
        return torch.from_numpy(ids_BCL)

    def module(self) -> nn.Module:
        return SequenceEncoder(self)

    def attends(self, column: int) -> bool:
        """Whether a list's entries are weighed by the item."""
        return self.is_attention and self.table_of[column] == self.table_of[self.item or 0]

    def lists(self) -> list[int]:
        """The places of the list columns."""
        return [c for c in range(len(self.columns)) if c != self.item]

    def features(self) -> list[Feature]:
        item = [] if self.item is None else [(self.item, "embedding", self.embedding_dim)]
        parts = [(c, *self._said(c)) for c in self.lists()]
        return [
            Feature(self.columns[c], f"{what} {k + 1} of {width}")
            for c, what, width in (*item, *parts)
            for k in range(width)
        ]

    def lengths(self, encoded: Tensor) -> Tensor | None:
        """Those of the longest list; a mean costs too little to order rows by."""
        if self.pooling.name == "mean" and not self.is_attention:
            return None
        return lengths_of(encoded).amax(dim=1)

    def notes(self, table: pa.Table) -> list[str]:
        """Nulls in lists, and lists that are longer than what is read of them."""
        noted = []
        for c in self.lists():
            name = self.columns[c]
            found = entries_of(table[name], f"column {name!r}")
            if found.num_null:
                noted.append(f"{name}: {told(found.num_null, 'null')} in lists left out")
            num_cut = int((found.lengths_B > self.longest).sum())
            if num_cut:
                noted.append(
                    f"{name}: of {told(num_cut, 'list')} only the last {self.longest:,} are read"
                )
        return noted

    def goes_on(self, later: Input) -> bool:
        """Where the columns and the tables that they share are the same."""
        assert isinstance(later, Sequences)
        return (later.columns, later.table_of) == (self.columns, self.table_of)

    def grown(self, later: Input) -> Input:
        """With the entries that are new."""
        assert isinstance(later, Sequences)
        if not self.goes_on(later):
            return later
        tables = tuple(
            mine.grown(new)
            if isinstance(mine, Vocabulary) and isinstance(new, Vocabulary)
            else mine
            for mine, new in zip(self.tables, later.tables)
        )
        return replace(self, tables=tables)

    @torch.no_grad()
    def carry(self, module: nn.Module, earlier: Input, earlier_module: nn.Module) -> int:
        """The vectors of values that both runs know, and what else is of the same features."""
        if not isinstance(earlier, Sequences) or earlier.features() != self.features():
            return 0
        return carry_embeddings(module, earlier_module, self.tables, earlier.tables)

    def _said(self, column: int) -> tuple[str, int]:
        if self.attends(column):
            return "attention", self.embedding_dim
        return self.pooling.name, self.pooling.out_features(self.embedding_dim)


class SequenceEncoder(nn.Module):
    """The item's embedding beside the vector of each list.

    **Shape** ids (B, C, L), 0 for padding behind the entries -> (B, F).
    """

    def __init__(self, fitted: Sequences) -> None:
        super().__init__()
        self.item, self.lists, self.table_of = fitted.item, fitted.lists(), fitted.table_of
        self.attends = [fitted.attends(c) for c in self.lists]
        dim = fitted.embedding_dim
        self.embeddings = nn.ModuleList(PaddedEmbedding(t.num_ids, dim) for t in fitted.tables)
        self.poolings = nn.ModuleList(
            TargetAttention(dim) if attends else fitted.pooling.module(dim, longest=fitted.longest)
            for attends in self.attends
        )

    def forward(self, ids_BCL: Tensor) -> Tensor:
        parts = []
        if self.item is not None:
            parts.append(self.embeddings[self.table_of[self.item]](ids_BCL[:, self.item, 0]))
        for c, pooling, attends in zip(self.lists, self.poolings, self.attends):
            ids_BL = cut(ids_BCL[:, c])
            x_BLK = self.embeddings[self.table_of[c]](ids_BL)
            item = parts[:1] if attends else []
            parts.append(pooling(x_BLK, ids_BL != PADDING, *item))
        return torch.cat(parts, dim=1)


def _check_options(
    columns: Sequence[str],
    numbers: Sequence[str],
    shared: bool | Sequence[str],
    counts: Sequence[int],
) -> None:
    for name in (*numbers, *(() if isinstance(shared, bool) else shared)):
        if name not in columns:
            raise UserError(f"numbers, shared: {name!r} is no such column{nearest(name, columns)}")
    if min(counts) < 1:
        raise UserError("max_length, min_count and num_bins must be positive")


def _parted(
    columns: Sequence[str],
    found: Sequence[Entries],
    numbers: Sequence[str],
    shared: bool | Sequence[str],
) -> list[int]:
    """The table of each column: columns of one type have the same, numbers each their own."""
    keys = []
    for name, each in zip(columns, found):
        dtype = each.values_N.type
        is_shared = shared if isinstance(shared, bool) else name in shared
        is_alone = name in numbers or pa.types.is_floating(dtype) or not is_shared
        keys.append((name if is_alone else "", is_text(dtype)))
    order = list(dict.fromkeys(keys))
    return [order.index(key) for key in keys]


def _fit_table(
    found: Sequence[Entries], min_count: int, num_bins: int, *, is_numbers: bool
) -> Vocabulary | Bins:
    values = pa.chunked_array(
        [chunk for each in found for chunk in each.values_N.chunks], found[0].values_N.type
    )
    if is_numbers or pa.types.is_floating(values.type):
        return Bins.fit(values, "a list of numbers", num_bins=num_bins)
    return Vocabulary.fit(values, "the lists", min_count=min_count)
