"""The folded first layer: products of looked-up vectors made once a batch for each value, not for each row."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from polytask.inputs.embeddings import Embeddings, FusedEmbedding
from polytask.products import Unmade, product, unrectified

_ROWS_A_VALUE, _FEWEST_ENTRIES, _FEWEST_ROWS = 2, 64, 256
"""Rows of a batch for each value of a column that is folded, and what is too little to be worth it."""

_LARGEST_GROWTH = 2.5
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
    """Columns of one table and of like sizes, each filled up to `num_rows` with its first row.

    What belongs to them lies side by side: `rows` of the joint table, `vectors` among those of their table,
    `entries` of x in the layout's order.
    """

    table: int
    num_columns: int
    num_rows: int
    rows: slice
    vectors: slice
    entries: slice

    def of(self, tensor: Tensor, place: slice) -> Tensor:
        """A part (columns, rows or entries of one column, ...) of a tensor, as a view."""
        return tensor[place].view(self.num_columns, -1, tensor.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class FoldedLayout:
    """Which columns of x are folded, where their values are in the joint table, and what of x is left.

    Column c's row r is row `offsets_C[c] + r` of the joint table. `order_D` are the entries of x group by
    group, then the `rest`, then zeros; `vector_rows` the rows of each table group by group.
    """

    columns: tuple[Looked, ...]
    offsets_C: Tensor
    order_D: Tensor
    inverse_D: Tensor
    rest: slice
    num_rows: int
    vector_rows: tuple[Tensor, ...]
    groups: tuple[_Group, ...]

    @classmethod
    def of(
        cls, columns: Sequence[Looked], num_features: int, *, num_entries: int
    ) -> "FoldedLayout":
        """`num_entries` of the features are entries of x, the others zeros at its end."""
        waiting = sorted(range(len(columns)), key=lambda c: _like(columns[c]))
        groups: list[_Group] = []
        order: list[int] = []
        offsets = [0] * len(columns)
        vectors: list[list[int]] = [[] for _ in range(1 + max(c.table for c in columns))]
        start = 0
        while waiting:
            alike = [c for c in waiting if _belong_together(columns[waiting[0]], columns[c])]
            waiting = [c for c in waiting if c not in alike]
            num_rows = max(columns[c].num_rows for c in alike)
            table = columns[alike[0]].table
            first, first_entry = len(vectors[table]), len(order)
            for place, c in enumerate(alike):
                one = columns[c]
                offsets[c] = start + place * num_rows
                # What is filled up is never read: its gradient is zero.
                filling = [one.first] * (num_rows - one.num_rows)
                vectors[table] += [*range(one.first, one.first + one.num_rows), *filling]
                order += range(one.start, one.start + one.width)
            stop = start + len(alike) * num_rows
            places = slice(start, stop), slice(first, len(vectors[table]))
            groups.append(
                _Group(table, len(alike), num_rows, *places, slice(first_entry, len(order)))
            )
            start = stop
        folded, num_folded = set(order), len(order)
        order += [d for d in range(num_features) if d not in folded]
        order_D = torch.tensor(order)
        return cls(
            tuple(columns),
            torch.tensor(offsets),
            order_D,
            order_D.argsort(),
            slice(num_folded, num_entries),
            start,
            tuple(map(torch.tensor, vectors)),
            tuple(groups),
        )


def _like(column: Looked) -> tuple[int, int, int]:
    return column.table, column.width, column.num_rows


def _belong_together(smallest: Looked, column: Looked) -> bool:
    return (smallest.table, smallest.width) == (column.table, column.width) and (
        column.num_rows <= _LARGEST_GROWTH * smallest.num_rows
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
        cls,
        parts: Mapping[str, nn.Module],
        widths: Mapping[str, int],
        num_features: int,
        *,
        batch_size: int,
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
        layout = FoldedLayout.of(columns, num_features, num_entries=start)
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
    _vectors: list[Tensor] | None = field(default=None, init=False)

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
            num_rows, num_columns = self.ids_BC.shape
            # Looked up, in a fifth of the time of a division.
            rows_N = torch.arange(num_rows).repeat_interleave(num_columns)
            self._readers = rows_N.index_select(0, order_N), starts_V
        return self._readers

    def vectors(self) -> list[Tensor]:
        """The vectors of all values, of each table group by group."""
        if self._vectors is None:
            pairs = zip(self.tables, self.layout.vector_rows)
            self._vectors = [table.detach().index_select(0, rows) for table, rows in pairs]
        return self._vectors


def _forward(
    rows: FoldedRows, weight_HD: Tensor, bias_H: Tensor | None, *, is_rectified: bool
) -> tuple[Tensor, Tensor]:
    """The outputs, and the columns of W in the layout's order as rows (D, H)."""
    layout, vectors = rows.layout, rows.vectors()
    weight_DH = weight_HD.t().contiguous().index_select(0, layout.order_D)
    table_VH = weight_HD.new_empty(layout.num_rows, len(weight_HD))
    for group in layout.groups:
        values = group.of(vectors[group.table], group.vectors)
        torch.bmm(values, group.of(weight_DH, group.entries), out=group.of(table_VH, group.rows))
    y_BH = functional.embedding_bag(rows.ids_BC, table_VH, mode="sum")
    y_BH += product(rows.rest_BR, weight_DH[layout.rest].t(), bias_H)
    return (y_BH.relu_() if is_rectified else y_BH), weight_DH


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
        y_BH, weight_DH = _forward(rows, weight_HD, bias_H, is_rectified=is_rectified)
        ctx.rows = rows
        # Who is handed outputs that are not rectified may change them in place.
        ctx.save_for_backward(rest_BR, weight_DH, *([y_BH] if is_rectified else []))
        return y_BH

    @staticmethod
    @once_differentiable
    def backward(ctx: _FoldedContext, dy_BH: Tensor) -> tuple[Tensor | None, ...]:
        rest_BR, weight_DH, *outputs = ctx.saved_tensors
        if outputs:
            dy_BH = unrectified(dy_BH, outputs[0])
        layout, vectors = ctx.rows.layout, ctx.rows.vectors()
        dweight_DH, dvectors = torch.empty_like(weight_DH), [*map(torch.empty_like, vectors)]
        dweight_DH[layout.rest] = product(rest_BR.t(), dy_BH.t())
        dweight_DH[layout.rest.stop :] = 0
        dtable_VH = _summed(dy_BH, *ctx.rows.readers())
        for group in layout.groups:
            per_value = group.of(dtable_VH, group.rows)
            weight, values = (
                group.of(weight_DH, group.entries),
                group.of(vectors[group.table], group.vectors),
            )
            into = group.of(dvectors[group.table], group.vectors)
            torch.bmm(per_value, weight.transpose(1, 2), out=into)
            into = group.of(dweight_DH, group.entries)
            torch.bmm(values.transpose(1, 2), per_value, out=into)
        dtables = [
            torch.zeros_like(table).index_add_(0, places, values)
            for table, places, values in zip(ctx.rows.tables, layout.vector_rows, dvectors)
        ]
        dweight_HD = dweight_DH.index_select(0, layout.inverse_D).t().contiguous()
        drest = product(dy_BH, weight_DH[layout.rest]) if ctx.needs_input_grad[4] else None
        dbias = dy_BH.sum(0) if ctx.needs_input_grad[3] else None
        return None, None, dweight_HD, dbias, drest, *dtables


def _summed(dy_BH: Tensor, order_N: Tensor, starts_V: Tensor) -> Tensor:
    """For each row of a table the sum over the rows of the batch that read it (V, H)."""
    blocks = [
        functional.embedding_bag(order_N, block_BK.contiguous(), starts_V, mode="sum")
        for block_BK in torch.split(dy_BH, _BLOCK, dim=1)
    ]
    return torch.cat(blocks, dim=1) if len(blocks) > 1 else blocks[0]
