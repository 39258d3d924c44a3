"""Table columns -> one vector: a fused embedding of the categorical, bins of the numeric ones."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.encoders.lookup import embedding

NUMBERS, CATEGORIES = "numbers", "categories"

# Above this many rows in one table, Adam's pass over all rows costs more than the batch does.
SPARSE_ABOVE = 500_000

# Matrix products of rows that are not whole vectors of the processor (or tiles of a GPU) are slower.
_MULTIPLE = 8

_EMBEDDING_STD = 0.05


def embedding_dim_for(vocabulary_sizes: Sequence[int]) -> int:
    """Width of all embeddings: the power of two nearest above 1.6 n^(1/4), from 4 to 32.

    n is the largest vocabulary; the fourth root is the rule of thumb of the Wide & Deep tutorials.
    """
    largest = max(vocabulary_sizes, default=1)
    width = 4
    while width < 32 and width < 1.6 * largest**0.25:
        width *= 2
    return width


@dataclass(frozen=True, slots=True)
class Feature:
    """What one entry of x is: coordinate `index` of a categorical column's embedding, a bin
    [low, low + width) of a numeric column, its plain value, or the flag that it is missing."""

    kind: Literal["embedding", "bin", "plain", "missing"]
    column: int
    index: int = 0
    low: float = 0.0
    width: float = 0.0

    def without_column(self) -> "Feature":
        """The same with column 0, for comparing features across tables."""
        return replace(self, column=0)


class FusedEmbedding(nn.Embedding):
    """One embedding matrix for several columns: column c owns the rows from its offset on.

    **Shape** ids (B, C), each in [0, vocabulary_sizes[c]) -> (B, C * dim).
    """

    def __init__(self, vocabulary_sizes: Sequence[int], dim: int, *, sparse: bool = False) -> None:
        *offsets, total = [0, *itertools.accumulate(vocabulary_sizes)]
        super().__init__(total, dim, sparse=sparse)
        self.offsets: Tensor
        self.register_buffer("offsets", torch.tensor(offsets), persistent=False)

    def reset_parameters(self) -> None:
        """Small normal numbers, so that a row seen once does not drown the columns seen often."""
        nn.init.normal_(self.weight, std=_EMBEDDING_STD)

    def rows_of(self, column: int) -> Tensor:
        """One column's rows, as a view."""
        ends = [*self.offsets.tolist(), self.num_embeddings]
        return self.weight[ends[column] : ends[column + 1]]

    def forward(self, ids_BC: Tensor) -> Tensor:
        rows_BC = ids_BC + self.offsets
        if self.sparse or not torch.is_grad_enabled():
            return functional.embedding(rows_BC, self.weight, sparse=self.sparse).flatten(1)
        return embedding(rows_BC, self.weight).flatten(1)


class NumericBins(nn.Module):
    """Piecewise-linear encoding of standardised numbers, and a flag for a missing one.

    A column with edges b_0 < ... < b_K gives K values, the share of each bin that lies below x
    (Gorishniy et al., NeurIPS 2022, eq. 1); a column without edges gives x itself, missing as 0.
    DIFF: the two outer bins are closed, so an outlier at prediction time cannot explode.

    **Shape** (B, N) with NaN where missing -> (B, out_features).
    """

    def __init__(self, edges: Sequence[Sequence[float]], has_missing: Sequence[bool]) -> None:
        super().__init__()
        plain = [n for n, column in enumerate(edges) if len(column) < 2]
        binned = [
            (n, low, high)
            for n, column in enumerate(edges)
            for low, high in itertools.pairwise(column)
        ]
        missing = [n for n, flag in enumerate(has_missing) if flag]
        self.plain: Tensor
        self.binned: Tensor
        self.missing: Tensor
        self.low: Tensor
        self.width: Tensor
        self._keep("plain", torch.tensor(plain, dtype=torch.long))
        self._keep("binned", torch.tensor([n for n, _, _ in binned], dtype=torch.long))
        self._keep("missing", torch.tensor(missing, dtype=torch.long))
        self._keep("low", torch.tensor([low for _, low, _ in binned], dtype=torch.float32))
        self._keep("width", torch.tensor([high - low for _, low, high in binned]).float())
        self.out_features = len(plain) + len(binned) + len(missing)

    def forward(self, numeric_BN: Tensor) -> Tensor:
        known_BN = numeric_BN.nan_to_num(nan=0.0)
        parts = []
        if len(self.plain):
            parts.append(known_BN[:, self.plain])
        if len(self.binned):
            bins_BK = (known_BN[:, self.binned] - self.low) / self.width
            parts.append(bins_BK.clamp_(0, 1))
        if len(self.missing):
            parts.append(numeric_BN[:, self.missing].isnan().to(numeric_BN.dtype))
        return torch.cat(parts, dim=1)

    def features(self) -> list[Feature]:
        """What each of the out_features is."""
        bins = zip(self.binned.tolist(), self.low.tolist(), self.width.tolist())
        return [
            *(Feature("plain", n) for n in self.plain.tolist()),
            *(Feature("bin", n, low=low, width=width) for n, low, width in bins),
            *(Feature("missing", n) for n in self.missing.tolist()),
        ]

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)


class TabularEncoder(nn.Module):
    """The fused embeddings of C categorical and the encoding of N numeric columns, side by side.

    Columns of so large a vocabulary that a dense gradient would dominate the step (`sparse_above`
    rows) share a second matrix with sparse gradients. Zeros fill x up to a multiple of 8.

    **Shape** inputs "numbers" (B, N), float32 with NaN where missing, and "categories" (B, C),
    int64 ids -> (B, out_features). What there is no column of need not be among them.
    """

    def __init__(
        self,
        vocabulary_sizes: Sequence[int],
        edges: Sequence[Sequence[float]],
        *,
        has_missing: Sequence[bool] | None = None,
        embedding_dim: int | None = None,
        sparse_above: int = SPARSE_ABOVE,
    ) -> None:
        super().__init__()
        if not vocabulary_sizes and not edges:
            raise ValueError("a table encoder needs at least one input column")
        dim = embedding_dim or embedding_dim_for(vocabulary_sizes)
        self.embedding_dim = dim
        large = [c for c, size in enumerate(vocabulary_sizes) if size > sparse_above]
        small = [c for c, size in enumerate(vocabulary_sizes) if size <= sparse_above]
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
        self.numeric = NumericBins(edges, has_missing or [False] * len(edges))
        width = dim * len(vocabulary_sizes) + self.numeric.out_features
        self.out_features = math.ceil(width / _MULTIPLE) * _MULTIPLE
        self.num_zeros = self.out_features - width

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        parts = []
        if self.dense is not None:
            ids = inputs[CATEGORIES]
            ids = ids if self.sparse is None else ids[:, self.small_columns]
            parts.append(self.dense(ids))
        if self.sparse is not None:
            parts.append(self.sparse(inputs[CATEGORIES][:, self.large_columns]))
        if self.numeric.out_features:
            parts.append(self.numeric(inputs[NUMBERS]))
        if self.num_zeros:
            parts.append(parts[0].new_zeros(len(parts[0]), self.num_zeros))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def features(self) -> list[Feature]:
        """What each entry of x is, in order, but for the zeros at its end."""
        order = [*self.small_columns.tolist(), *self.large_columns.tolist()]
        embedded = [
            Feature("embedding", c, index=k) for c in order for k in range(self.embedding_dim)
        ]
        return [*embedded, *self.numeric.features()]

    def embedding_rows(self, column: int) -> Tensor:
        """The rows (ids, dim) of one categorical column, as a view of the matrix."""
        for table, columns in ((self.dense, self.small_columns), (self.sparse, self.large_columns)):
            places = columns.tolist()
            if table is not None and column in places:
                return table.rows_of(places.index(column))
        raise IndexError(f"there is no categorical column {column}")
