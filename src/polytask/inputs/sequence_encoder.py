"""Padded ids -> one vector a row: an embedding and a pooling."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.inputs.lookup import embedding
from polytask.inputs.sequence_lists import Bins
from polytask.inputs.sequence_padding import PADDING, cut
from polytask.inputs.sequence_pooling import Pooling
from polytask.inputs.vocabulary import Vocabulary, common_ids

_STD = 0.1
_MANY = 4
"""Of so many ids for each row of the table, counting is the quicker gradient (`lookup.embedding`)."""


class PaddedEmbedding(nn.Embedding):
    """A vector for each id; that of padding is zeros and stays so where its places are masked.

    **Shape** ids (...), each in [0, num_ids) -> (..., dim).
    """

    def __init__(self, num_ids: int, dim: int) -> None:
        super().__init__(num_ids, dim, padding_idx=PADDING)

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=_STD)
        self._fill_padding_idx_with_zero()

    def forward(self, ids: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or ids.numel() < _MANY * self.num_embeddings:
            return functional.embedding(ids.long(), self.weight, PADDING)
        return embedding(ids, self.weight)


class PaddedEncoder(nn.Module):
    """The vectors of a row's ids, pooled; what a batch's longest row has no place for is not computed.

    `dropout` is that of the ids' vectors and of the row's.

    **Shape** ids (B, L), 0 for padding behind the entries -> (B, out_features).

    >>> encoder = PaddedEncoder(PaddedEmbedding(100, 8), Pooling("gru", 16), longest=5)
    >>> encoder(torch.tensor([[4, 2, 0, 0, 0], [0, 0, 0, 0, 0]])).shape
    torch.Size([2, 16])
    """

    def __init__(self, embeddings: PaddedEmbedding, pooling: Pooling, *, longest: int) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.pooling = pooling.module(embeddings.embedding_dim, longest=longest)
        self.dropout = pooling.dropout

    def forward(self, ids_BL: Tensor) -> Tensor:
        ids_BL = cut(ids_BL)
        x_BLK = self._dropped(self.embeddings(ids_BL))
        return self._dropped(self.pooling(x_BLK, ids_BL != PADDING))

    def _dropped(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training) if self.dropout else x


@torch.no_grad()
def carry_embeddings(
    module: nn.Module,
    earlier: nn.Module,
    tables: Sequence[Vocabulary | Bins],
    earlier_tables: Sequence[Vocabulary | Bins],
) -> int:
    """Copy the vectors of values that both modules' tables know, and other parameters by their names.

    Returns how many were copied. Bins are copied where they are the same.
    """
    found, theirs = (
        [(name, part) for name, part in each.named_modules() if isinstance(part, PaddedEmbedding)]
        for each in (module, earlier)
    )
    num_copied = 0
    for (_, part), (_, old), table, old_table in zip(found, theirs, tables, earlier_tables):
        ids, old_ids = _same_ids(table, old_table)
        part.weight[ids] = old.weight[old_ids].to(part.weight.device)
        num_copied += len(ids)
    tables_of = {f"{name}.weight" for name, _ in found}
    others = dict(earlier.named_parameters())
    for name, parameter in module.named_parameters():
        if name not in tables_of and name in others and others[name].shape == parameter.shape:
            parameter.copy_(others[name])
            num_copied += 1
    return num_copied


def _same_ids(table: Vocabulary | Bins, earlier: Vocabulary | Bins) -> tuple[Tensor, Tensor]:
    if isinstance(table, Vocabulary) and isinstance(earlier, Vocabulary):
        return common_ids(table, earlier)
    every = torch.arange(table.num_ids if table == earlier else 0)
    return every, every
