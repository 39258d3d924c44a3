"""The folded first layer: products of looked-up vectors made once a batch for each value, not for each row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from polytask import kernels
from polytask.inputs.fold_by_kernel import ByKernel
from polytask.inputs.fold_by_operators import ByOperators
from polytask.inputs.fold_layout import FoldedLayout, Looked
from polytask.inputs.fold_parts import Foldable, FoldedPart, Lookups
from polytask.products import Unmade, product, suits_full_precision

_ROWS_A_VALUE, _FEWEST_ENTRIES, _FEWEST_ROWS = 2, 64, 256
"""Rows of a batch for each value of a column that is folded, and what is too little to be worth it."""


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """The parts of an encoder that have folded columns, with the layout of all of these.

    Batches of fewer rows than `fewest_rows` are read as usual.
    """

    parts: Mapping[str, FoldedPart]
    layout: FoldedLayout
    fewest_rows: int

    @classmethod
    def of(
        cls,
        modules: Mapping[str, nn.Module],
        widths: Mapping[str, int],
        *,
        batch_size: int,
    ) -> "Fold | None":
        """Each column of at most half as many values as a batch has rows; None if they are not worth it.

        A column of x costs three products with a row of the batch each, a folded one three with a
        value each, and two sums over rows, which take a tenth of the former.
        """
        parts: dict[str, FoldedPart] = {}
        columns: list[Looked] = []
        start = num_tables = num_shares = 0
        for name, module in modules.items():
            part = (
                module.folded_part(batch_size // _ROWS_A_VALUE)
                if isinstance(module, Foldable)
                else None
            )
            if part is not None:
                parts[name] = part
                columns += [_moved(c, num_tables, start, num_shares) for c in part.columns]
                num_tables += len(part.tables)
                num_shares += sum(c.share >= 0 for c in part.columns)
            start += widths[name]
        if sum(column.width for column in columns) < _FEWEST_ENTRIES or batch_size < _FEWEST_ROWS:
            return None
        layout = FoldedLayout.of(columns, num_entries=start)
        return cls(parts, layout, batch_size // _ROWS_A_VALUE)

    @property
    def tables(self) -> tuple[Tensor, ...]:
        """Those of all parts."""
        return tuple(table for part in self.parts.values() for table in part.tables)

    def suits(self, num_rows: int) -> bool:
        """Whether a batch of so many rows is folded, and the tables are used as they are."""
        return num_rows >= self.fewest_rows and suits_full_precision(*self.tables)

    def rows(self, read: Sequence[Lookups | Tensor]) -> "FoldedRows":
        """The stand-in for x: what the parts read in order, each of the others as it is."""
        found = [each for each in read if isinstance(each, Lookups)]
        rest = [each.rest_BR if isinstance(each, Lookups) else each for each in read]
        shares = [each.shares_BS for each in found if each.shares_BS is not None]
        shares_BS = _joined(shares) if shares else None
        ids_BC = _joined([each.ids_BC for each in found])
        return FoldedRows(self.layout, ids_BC, _joined(rest), self.tables, shares_BS)


def _moved(column: Looked, num_tables: int, start: int, num_shares: int) -> Looked:
    """A part's column among those of all."""
    return replace(
        column,
        table=num_tables + column.table,
        start=start + column.start,
        share=column.share if column.share < 0 else num_shares + column.share,
    )


def _joined(parts: Sequence[Tensor]) -> Tensor:
    parts = [part for part in parts if part.shape[1]] or parts[:1]
    return torch.cat([*parts], dim=1) if len(parts) > 1 else parts[0]


@dataclass(eq=False)
class FoldedRows(Unmade):
    """A batch of x whose looked-up columns were never looked up.

    A column's part of x W^T is E[id] W_c^T for its values' vectors E and its columns W_c of W. The table
    E W_c^T has a row a value: it is made once a batch, and its rows are added up for each row of the batch. The
    gradient of the table's row is the sum over the rows of the batch that read it, and leads on to E and W.

    `ids_BC` are rows of each column's own values; `rest_BR` is what of x there is as it is.
    """

    layout: FoldedLayout
    ids_BC: Tensor
    rest_BR: Tensor
    tables: tuple[Tensor, ...]
    shares_BS: Tensor | None = None

    def linear(self, weight_HD: Tensor, bias_H: Tensor | None, *, is_rectified: bool) -> Tensor:
        if not torch.is_grad_enabled():
            return self.columns.linear(weight_HD, bias_H, is_rectified=is_rectified)
        y_BH: Tensor = _FoldedLinear.apply(  # type: ignore[no-untyped-call]
            self, is_rectified, weight_HD, bias_H, self.rest_BR, *self.tables
        )
        return y_BH

    @cached_property
    def columns(self) -> ByKernel | ByOperators:
        """What makes the products of the looked-up columns, and their gradients."""
        way = ByKernel if kernels.suits(len(self.ids_BC), *self.tables) else ByOperators
        return way(self.layout, self.tables, self.ids_BC, self.shares_BS, self.rest_BR)


class _FoldedContext(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]
    rows: FoldedRows


class _FoldedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _FoldedContext,
        rows: FoldedRows,
        is_rectified: bool,
        weight_HD: Tensor,
        bias_H: Tensor | None,
        rest_BR: Tensor,
        *tables: Tensor,
    ) -> Tensor:
        y_BH = rows.columns.linear(weight_HD, bias_H, is_rectified=is_rectified)
        ctx.rows = rows
        # Who is handed outputs that are not rectified may change them in place.
        ctx.save_for_backward(weight_HD, *([y_BH] if is_rectified else []))
        return y_BH

    @staticmethod
    @once_differentiable
    def backward(ctx: _FoldedContext, dy_BH: Tensor) -> tuple[Tensor | None, ...]:
        weight_HD, *outputs = ctx.saved_tensors
        y_BH = outputs[0] if outputs else None
        needs_bias, needs_rest = ctx.needs_input_grad[3:5]
        found = ctx.rows.columns.gradients(
            weight_HD, y_BH, dy_BH, needs_bias=needs_bias, needs_below=needs_rest
        )
        drest_BR = None
        if needs_rest:
            assert found.below_BH is not None
            rest_R = ctx.rows.layout.rest_R
            drest_BR = product(found.below_BH, weight_HD.index_select(1, rest_R).t())
        return None, None, found.weight_HD, found.bias_H, drest_BR, *found.tables
