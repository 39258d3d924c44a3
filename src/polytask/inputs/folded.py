"""The folded first layer: products of looked-up vectors made once a batch for each value, not for each row."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from polytask.inputs.categories import Embeddings, FusedEmbedding
from polytask.products import Unmade, product, unrectified, weight_gradient

_ROWS_A_VALUE, _FEWEST_ENTRIES, _FEWEST_ROWS = 2, 64, 256
"""Rows of a batch for each value of a column that is folded, and what is too little to be worth it."""

_LARGEST_GROWTH = 1.5
"""Columns are made products of together if the largest has so many times the values of the smallest."""

_BLOCK = 128
"""Columns of the gradient that are summed at once: their rows stay in the cache."""


@dataclass(frozen=True, slots=True)
class Looked:
    """One column of x that is looked up: rows `first` to `first + num_rows` of a table, at `start` in x."""

    table: int
    first: int
    num_rows: int
    start: int
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Columns of one table and of like sizes, each filled up to `num_rows` with its first row."""

    table: int
    num_columns: int
    num_rows: int
    rows_R: Tensor
    places_D: Tensor
    start: int

    @property
    def stop(self) -> int:
        return self.start + self.num_columns * self.num_rows


@dataclass(frozen=True, slots=True, eq=False)
class FoldedLayout:
    """Which columns of x are folded, where their values' rows are in the joint table, and the rest of x.

    Column c's row r is row `offsets_C[c] + r` of the joint table; `rest_D` are the entries of x that
    products are made of as usual.
    """

    columns: tuple[Looked, ...]
    offsets_C: Tensor
    rest_D: Tensor
    num_features: int
    num_rows: int
    groups: tuple[_Group, ...]

    @classmethod
    def of(
        cls, columns: Sequence[Looked], num_features: int, *, num_entries: int
    ) -> "FoldedLayout":
        """`num_entries` of the features are entries of x, the others zeros at its end."""
        ordered = sorted(range(len(columns)), key=lambda c: _like(columns[c]))
        groups: list[_Group] = []
        offsets = [0] * len(columns)
        start = 0
        while ordered:
            alike = [c for c in ordered if _belong_together(columns[ordered[0]], columns[c])]
            ordered = [c for c in ordered if c not in alike]
            groups.append(_group([columns[c] for c in alike], start))
            for place, c in enumerate(alike):
                offsets[c] = start + place * groups[-1].num_rows
            start = groups[-1].stop
        folded = {column.start + k for column in columns for k in range(column.width)}
        rest = [d for d in range(num_entries) if d not in folded]
        return cls(
            tuple(columns),
            torch.tensor(offsets, dtype=torch.int64),
            torch.tensor(rest, dtype=torch.int64),
            num_features,
            start,
            tuple(groups),
        )


def _like(column: Looked) -> tuple[int, int, int]:
    return column.table, column.width, column.num_rows


def _belong_together(smallest: Looked, column: Looked) -> bool:
    return (smallest.table, smallest.width) == (column.table, column.width) and (
        column.num_rows <= _LARGEST_GROWTH * smallest.num_rows
    )


def _group(columns: Sequence[Looked], start: int) -> _Group:
    num_rows = max(column.num_rows for column in columns)
    rows = [
        column.first + (r if r < column.num_rows else 0)
        for column in columns
        for r in range(num_rows)
    ]
    places = [column.start + k for column in columns for k in range(column.width)]
    return _Group(
        columns[0].table, len(columns), num_rows, torch.tensor(rows), torch.tensor(places), start
    )


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """The columns of an encoder that are folded: of each part the places among its dense columns, and the
    tables, with the layout of all; batches of fewer rows than `fewest_rows` are read as usual."""

    places: Mapping[str, tuple[int, ...]]
    tables: tuple[Tensor, ...]
    layout: FoldedLayout
    fewest_rows: int

    @classmethod
    def of(
        cls, parts: Mapping[str, nn.Module], widths: Mapping[str, int], *, batch_size: int
    ) -> "Fold | None":
        """Each column of at most half as many values as a batch has rows; None if they are not worth it.

        A column of x costs three products with a row of the batch each, a folded one three with a
        value each, and two sums over rows, which take a tenth of the former.
        """
        columns: list[Looked] = []
        places: dict[str, tuple[int, ...]] = {}
        tables: list[Tensor] = []
        start = 0
        for name, part in parts.items():
            if isinstance(part, Embeddings) and part.dense is not None:
                found = _columns_of(part.dense, len(tables), start, batch_size // _ROWS_A_VALUE)
                if found:
                    places[name], tables = tuple(found), [*tables, part.dense.weight]
                    columns += found.values()
            start += widths[name]
        if sum(column.width for column in columns) < _FEWEST_ENTRIES or batch_size < _FEWEST_ROWS:
            return None
        layout = FoldedLayout.of(columns, math.ceil(start / 8) * 8, num_entries=start)
        return cls(places, tuple(tables), layout, batch_size // _ROWS_A_VALUE)

    def rows(self, ids: Mapping[str, Tensor], rest: Sequence[Tensor]) -> "FoldedRows":
        """The stand-in for x: the ids of each part, and the other entries of x in order."""
        ids_BC = torch.cat([ids[name][:, list(each)] for name, each in self.places.items()], dim=1)
        rest_BR = torch.cat([*rest], dim=1)
        return FoldedRows(self.layout, ids_BC + self.layout.offsets_C, rest_BR, self.tables)


def _columns_of(dense: FusedEmbedding, table: int, start: int, most: int) -> dict[int, Looked]:
    """The columns of few values, by their places in the dense table."""
    ends = [*dense.offsets.tolist(), dense.num_embeddings]
    width = dense.embedding_dim
    sizes = [(first, last - first) for first, last in itertools.pairwise(ends)]
    return {
        c: Looked(table, first, size, start + c * width, width)
        for c, (first, size) in enumerate(sizes)
        if size <= most
    }


@dataclass(eq=False)
class FoldedRows(Unmade):
    """A batch of x whose looked-up columns were never looked up.

    A column's part of x W^T is E[id] W_c^T for its values' vectors E and its columns W_c of W. The table
    E W_c^T has a row a value: it is made once a batch, and its rows are added up for each row of the batch. The
    gradient of the table's row is the sum over the rows of the batch that read it, and leads on to E and W.

    `ids_BC` are rows of the joint table of `layout`; `rest_BR` is what of x there is as it is.
    """

    layout: FoldedLayout
    ids_BC: Tensor
    rest_BR: Tensor
    tables: tuple[Tensor, ...]
    _readers: tuple[Tensor, Tensor] | None = field(default=None, init=False)

    def linear(self, weight_HD: Tensor, bias_H: Tensor | None, *, is_rectified: bool) -> Tensor:
        if not torch.is_grad_enabled():
            return _forward(self, weight_HD, bias_H, is_rectified=is_rectified)[0]
        y_BH: Tensor = _FoldedLinear.apply(  # type: ignore[no-untyped-call]
            self, is_rectified, weight_HD, bias_H, self.rest_BR, *self.tables
        )
        return y_BH

    def readers(self) -> tuple[Tensor, Tensor]:
        """The rows of the batch in the order of what they read, and where each row of the table begins."""
        if self._readers is None:
            small = torch.int16 if self.layout.num_rows < 1 << 15 else torch.int32
            sorted_N, order_N = self.ids_BC.flatten().to(small).sort(stable=True)
            every_V = torch.arange(self.layout.num_rows, dtype=small)
            starts_V = torch.searchsorted(sorted_N, every_V)
            self._readers = order_N // self.ids_BC.shape[1], starts_V
        return self._readers


def _vectors(group: _Group, tables: Sequence[Tensor]) -> Tensor:
    """The vectors of a group's values (columns, rows, width)."""
    vectors = tables[group.table].index_select(0, group.rows_R)
    return vectors.view(group.num_columns, group.num_rows, -1)


def _weights(group: _Group, weight_HD: Tensor) -> Tensor:
    """What a group's columns are multiplied by (columns, width, H)."""
    weight_DH = weight_HD.index_select(1, group.places_D).t()
    return weight_DH.reshape(group.num_columns, -1, len(weight_HD))


def _forward(
    rows: FoldedRows, weight_HD: Tensor, bias_H: Tensor | None, *, is_rectified: bool
) -> tuple[Tensor, Tensor]:
    """The outputs, and the part of W that reads the rest."""
    layout = rows.layout
    table_VH = weight_HD.new_empty(layout.num_rows, len(weight_HD))
    for group in layout.groups:
        part = table_VH[group.start : group.stop].view(group.num_columns, group.num_rows, -1)
        torch.bmm(_vectors(group, rows.tables), _weights(group, weight_HD), out=part)
    y_BH = functional.embedding_bag(rows.ids_BC, table_VH, mode="sum")
    rest_HR = weight_HD.index_select(1, layout.rest_D)
    y_BH += product(rows.rest_BR, rest_HR, bias_H)
    return (y_BH.relu_() if is_rectified else y_BH), rest_HR


class _FoldedContext(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]
    rows: FoldedRows
    num_tables: int


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
        y_BH, rest_HR = _forward(rows, weight_HD, bias_H, is_rectified=is_rectified)
        ctx.rows, ctx.num_tables = rows, len(tables)
        # Who is handed outputs that are not rectified may change them in place.
        kept = [y_BH] if is_rectified else []
        ctx.save_for_backward(weight_HD, rest_BR, rest_HR, *tables, *kept)
        return y_BH

    @staticmethod
    def backward(ctx: _FoldedContext, dy_BH: Tensor) -> tuple[Tensor | None, ...]:
        weight_HD, rest_BR, rest_HR, *others = ctx.saved_tensors
        tables, outputs = others[: ctx.num_tables], others[ctx.num_tables :]
        if torch.is_grad_enabled():
            raise RuntimeError("a folded first layer has no second derivative")
        if outputs:
            dy_BH = unrectified(dy_BH, outputs[0])
        layout = ctx.rows.layout
        weight_DH = weight_HD.new_zeros(layout.num_features, len(weight_HD))
        weight_DH.index_copy_(0, layout.rest_D, weight_gradient(dy_BH, rest_BR).t())
        table_VH = _summed(dy_BH, *ctx.rows.readers())
        vectors = [torch.zeros_like(table) for table in tables]
        for group in layout.groups:
            part = table_VH[group.start : group.stop].view(group.num_columns, group.num_rows, -1)
            by_value = torch.bmm(part, _weights(group, weight_HD).transpose(1, 2))
            vectors[group.table].index_add_(0, group.rows_R, by_value.flatten(0, 1))
            by_weight = torch.bmm(_vectors(group, tables).transpose(1, 2), part)
            weight_DH.index_copy_(0, group.places_D, by_weight.flatten(0, 1))
        rest = product(dy_BH, rest_HR.t()) if ctx.needs_input_grad[4] else None
        bias = dy_BH.sum(0) if ctx.needs_input_grad[3] else None
        return None, None, weight_DH.t().contiguous(), bias, rest, *vectors


def _summed(dy_BH: Tensor, order_N: Tensor, starts_V: Tensor) -> Tensor:
    """For each row of a table the sum over the rows of the batch that read it (V, H)."""
    table_VH = dy_BH.new_empty(len(starts_V), dy_BH.shape[1])
    for start in range(0, dy_BH.shape[1], _BLOCK):
        block_BK = dy_BH[:, start : start + _BLOCK].contiguous()
        found_VK = functional.embedding_bag(order_N, block_BK, starts_V, mode="sum")
        table_VH[:, start : start + _BLOCK] = found_VK
    return table_VH
