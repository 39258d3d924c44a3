"""Products of looked-up columns by torch's own operators."""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from polytask.inputs.fold_gradients import FoldGradients, add_rest, rest_product
from polytask.inputs.fold_layout import FoldedLayout
from polytask.products import unrectified

_BLOCK = 128
"""Columns of the gradient that are summed at once: their rows stay in the cache."""


class ByOperators:
    """One batched product a group of columns of like sizes, `embedding_bag` for the sums over rows."""

    def __init__(
        self,
        layout: FoldedLayout,
        tables: Sequence[Tensor],
        ids_BC: Tensor,
        shares_BS: Tensor | None,
        rest_BR: Tensor,
    ) -> None:
        self._layout, self._tables, self._rest_BR = layout, tables, rest_BR
        self._ids_BC = ids_BC + layout.offsets_C
        self._shares_BC = None
        if shares_BS is not None:
            self._shares_BC = shares_BS.new_ones(ids_BC.shape)
            shared = [c for c, column in enumerate(layout.columns) if column.share >= 0]
            self._shares_BC[:, shared] = shares_BS

    @cached_property
    def _readers(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """The rows of the batch in the order of what they read, where each row of the table begins, and shares."""
        num_values = self._layout.num_rows
        small = torch.int16 if num_values < 1 << 15 else torch.int32
        sorted_N, order_N = self._ids_BC.flatten().to(small).sort(stable=True)
        starts_V = torch.searchsorted(sorted_N, torch.arange(num_values, dtype=small))
        num_rows, num_columns = self._ids_BC.shape
        # Looked up, in a fifth of the time of a division.
        rows_N = torch.arange(num_rows).repeat_interleave(num_columns)
        shares = None if self._shares_BC is None else self._shares_BC.flatten()[order_N]
        return rows_N.index_select(0, order_N), starts_V, shares

    @cached_property
    def _vectors(self) -> list[Tensor]:
        """The vectors of all values, of each table group by group."""
        pairs = zip(self._tables, self._layout.vector_rows)
        return [table.detach().index_select(0, rows) for table, rows in pairs]

    def _ordered(self, weight_HD: Tensor) -> Tensor:
        """The columns of W in the layout's order as rows (F, H)."""
        return weight_HD.t().contiguous().index_select(0, self._layout.order_F)

    def linear(self, weight_HD: Tensor, bias_H: Tensor | None, *, is_rectified: bool) -> Tensor:
        """x W^T + b, and a ReLU if asked for."""
        y_BH = rest_product(self._layout, self._rest_BR, weight_HD, bias_H)
        weight_FH = self._ordered(weight_HD)
        table_VH = weight_HD.new_empty(self._layout.num_rows, len(weight_HD))
        for group in self._layout.groups:
            values = group.of(self._vectors[group.table], group.vectors)
            weight = group.of(weight_FH, group.entries)
            torch.bmm(values, weight, out=group.of(table_VH, group.rows))
        y_BH += functional.embedding_bag(
            self._ids_BC, table_VH, mode="sum", per_sample_weights=self._shares_BC
        )
        return y_BH.relu_() if is_rectified else y_BH

    def gradients(
        self,
        weight_HD: Tensor,
        y_BH: Tensor | None,
        dy_BH: Tensor,
        *,
        needs_bias: bool,
        needs_below: bool,
    ) -> FoldGradients:
        """y are the outputs if they were rectified."""
        layout, vectors, weight_FH = self._layout, self._vectors, self._ordered(weight_HD)
        if y_BH is not None:
            dy_BH = unrectified(dy_BH, y_BH)
        dweight_FH, dvectors = torch.empty_like(weight_FH), [*map(torch.empty_like, vectors)]
        dtable_VH = _summed(dy_BH, *self._readers)
        for group in layout.groups:
            per_value = group.of(dtable_VH, group.rows)
            weight = group.of(weight_FH, group.entries)
            values = group.of(vectors[group.table], group.vectors)
            into = group.of(dvectors[group.table], group.vectors)
            torch.bmm(per_value, weight.transpose(1, 2), out=into)
            into = group.of(dweight_FH, group.entries)
            torch.bmm(values.transpose(1, 2), per_value, out=into)
        dtables = [
            torch.zeros_like(table).index_add_(0, places, values) if table.requires_grad else None
            for table, places, values in zip(self._tables, layout.vector_rows, dvectors)
        ]
        dweight_DH = dweight_FH.new_zeros(weight_HD.shape[::-1])
        dweight_HD = dweight_DH.index_add_(0, layout.order_F, dweight_FH).t().contiguous()
        add_rest(layout, self._rest_BR, dy_BH, dweight_HD)
        return FoldGradients(dy_BH, dweight_HD, dy_BH.sum(0) if needs_bias else None, dtables)


def _summed(dy_BH: Tensor, order_N: Tensor, starts_V: Tensor, shares_N: Tensor | None) -> Tensor:
    """For each row of a table the sum over the rows of the batch that read it (V, H)."""
    blocks = [
        functional.embedding_bag(
            order_N, block_BK.contiguous(), starts_V, mode="sum", per_sample_weights=shares_N
        )
        for block_BK in torch.split(dy_BH, _BLOCK, dim=1)
    ]
    return torch.cat(blocks, dim=1) if len(blocks) > 1 else blocks[0]
