"""A learned vector for each value of categorical columns: tables side by side, dense or stepped row by row."""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.inputs.fold_layout import Looked
from polytask.inputs.fold_parts import FoldedPart, Lookups
from polytask.inputs.lookup import embedding, embedding_of_rows

SPARSE_ABOVE = 50_000
"""Above this many ids of one column, Adam's pass over all rows costs more than looking after those of a
batch one by one; see `benchmarks/vocabulary_speed.py`."""

_EMBEDDING_STD = 0.05


class Embeddings(nn.Module):
    """The embeddings of C columns side by side, those with sparse gradients last.

    **Shape** ids (B, C), each in [0, vocabulary_sizes[c]) -> (B, C * dim).
    """

    def __init__(
        self, vocabulary_sizes: Sequence[int], dim: int, *, sparse_above: int = SPARSE_ABOVE
    ) -> None:
        super().__init__()
        small, large = parted(vocabulary_sizes, sparse_above)
        self.small_columns: Tensor
        self.large_columns: Tensor
        self.register_buffer("small_columns", torch.tensor(small).long(), persistent=False)
        self.register_buffer("large_columns", torch.tensor(large).long(), persistent=False)
        self.dense = FusedEmbedding([vocabulary_sizes[c] for c in small], dim) if small else None
        self.sparse = (
            FusedEmbedding([vocabulary_sizes[c] for c in large], dim, sparse=True)
            if large
            else None
        )

    def forward(self, ids_BC: Tensor) -> Tensor:
        parts = []
        if self.dense is not None:
            parts.append(
                self.dense(ids_BC if self.sparse is None else ids_BC[:, self.small_columns])
            )
        if self.sparse is not None:
            parts.append(self.sparse(ids_BC[:, self.large_columns]))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def folded_part(self, most_values: int) -> FoldedPart | None:
        """The columns of the dense table with at most so many values."""
        if self.dense is None:
            return None
        ends = [*self.dense.offsets.tolist(), self.dense.num_embeddings]
        sizes = [last - first for first, last in itertools.pairwise(ends)]
        places = [c for c, size in enumerate(sizes) if size <= most_values]
        width = self.dense.embedding_dim
        columns = [Looked(0, ends[c], sizes[c], c * width, width) for c in places]
        return _FoldedEmbeddings(self, columns, places) if places else None

    def without(self, ids_BC: Tensor, kept: Sequence[int]) -> Tensor:
        """As `forward`, of the dense table these columns alone."""
        parts = [ids_BC.new_zeros(ids_BC.shape[0], 0, dtype=self._weight().dtype)]
        if self.dense is not None and kept:
            parts.append(self.dense(ids_BC[:, self.small_columns[[*kept]]], kept))
        if self.sparse is not None:
            parts.append(self.sparse(ids_BC[:, self.large_columns]))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def _weight(self) -> Tensor:
        return next(self.parameters())

    def rows_of(self, column: int) -> Tensor:
        """The rows (ids, dim) of one column, as a view of the matrix."""
        for table, columns in ((self.dense, self.small_columns), (self.sparse, self.large_columns)):
            places = columns.tolist()
            if table is not None and column in places:
                return table.rows_of(places.index(column))
        raise IndexError(f"there is no categorical column {column}")


class _FoldedEmbeddings(FoldedPart):
    """Columns of the dense table, by their places among its columns."""

    def __init__(
        self, module: Embeddings, columns: Sequence[Looked], places: Sequence[int]
    ) -> None:
        self._module, self.columns, self.places = module, tuple(columns), tuple(places)
        num_columns = len(module.small_columns)
        self._kept = [c for c in range(num_columns) if c not in places]
        self._are_all = not self._kept and module.sparse is None

    @property
    def tables(self) -> tuple[Tensor, ...]:
        assert self._module.dense is not None
        return (self._module.dense.weight,)

    def read(self, values: Tensor) -> Lookups:
        if self._are_all:
            return Lookups(values, None, self.tables[0].new_empty(len(values), 0))
        chosen = self._module.small_columns[[*self.places]]
        return Lookups(values[:, chosen], None, self._module.without(values, self._kept))


class FusedEmbedding(nn.Embedding):
    """One embedding matrix for several columns: column c owns the rows from its offset on.

    A sparse one has gradients of the rows that a batch reads. Its optimizer may put a function into
    `before_lookup`, which is called with these rows, each once, before they are read in training.

    **Shape** ids (B, C), each in [0, vocabulary_sizes[c]) -> (B, C * dim).
    """

    def __init__(self, vocabulary_sizes: Sequence[int], dim: int, *, sparse: bool = False) -> None:
        *offsets, total = [0, *itertools.accumulate(vocabulary_sizes)]
        super().__init__(total, dim, sparse=sparse)
        self.offsets: Tensor
        self.register_buffer("offsets", torch.tensor(offsets), persistent=False)
        self.before_lookup: Callable[[Tensor], None] | None = None

    def __getstate__(self) -> dict[str, object]:
        """A copy has no optimizer yet."""
        return {**self.__dict__, "before_lookup": None}

    def reset_parameters(self) -> None:
        """Small normal numbers, so that a row seen once does not drown the columns seen often."""
        nn.init.normal_(self.weight, std=_EMBEDDING_STD)

    def rows_of(self, column: int) -> Tensor:
        """One column's rows, as a view."""
        ends = [*self.offsets.tolist(), self.num_embeddings]
        return self.weight[ends[column] : ends[column + 1]]

    def forward(self, ids_BC: Tensor, columns: Sequence[int] | None = None) -> Tensor:
        """`columns`: which ones the ids are of, where they are not of all."""
        rows_BC = ids_BC + (self.offsets if columns is None else self.offsets[list(columns)])
        if not torch.is_grad_enabled():
            return functional.embedding(rows_BC, self.weight).flatten(1)
        if not self.sparse:
            return embedding(rows_BC, self.weight).flatten(1)
        rows_U, places_BC = torch.unique(rows_BC, return_inverse=True)
        if self.before_lookup is not None:
            self.before_lookup(rows_U)
        return embedding_of_rows(self.weight, rows_U, places_BC).flatten(1)


def embedding_dim_for(vocabulary_sizes: Sequence[int]) -> int:
    """Width of all embeddings: the power of two nearest above 1.6 n^(1/4), from 4 to 32.

    n is the largest vocabulary; the fourth root is the rule of thumb of the Wide & Deep tutorials.

    >>> embedding_dim_for([3, 5_000])
    16
    """
    largest = max(vocabulary_sizes, default=1)
    width = 4
    while width < 32 and width < 1.6 * largest**0.25:
        width *= 2
    return width


def parted(vocabulary_sizes: Sequence[int], sparse_above: int) -> tuple[list[int], list[int]]:
    """The columns with dense gradients and those with sparse ones, by position."""
    places = range(len(vocabulary_sizes))
    return (
        [c for c in places if vocabulary_sizes[c] <= sparse_above],
        [c for c in places if vocabulary_sizes[c] > sparse_above],
    )
