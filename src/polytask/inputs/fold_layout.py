"""Where the looked-up columns of x are: in x, in their tables, and in the table of all their values."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polytask.kernels import Columns

_LARGEST_GROWTH = 2.5
"""Columns are made products of together if the largest has so many times the values of the smallest."""


@dataclass(frozen=True, slots=True)
class Looked:
    """One column of x that is looked up: rows `first` to `first + num_rows` of a table, at `start` in x.

    `share` is which of a row's shares multiplies it, -1 for none.
    """

    table: int
    first: int
    num_rows: int
    start: int
    width: int
    share: int = -1


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

    Column c's row r is row `offsets_C[c] + r` of the joint table. `order_F` are the columns' entries of x group by
    group, an entry of two columns twice; `rest_R` the other entries; `vector_rows` the rows of each table
    group by group.
    """

    columns: tuple[Looked, ...]
    offsets_C: Tensor
    order_F: Tensor
    rest_R: Tensor
    num_rows: int
    vector_rows: tuple[Tensor, ...]
    groups: tuple[_Group, ...]
    in_kernels: Columns

    @classmethod
    def of(cls, columns: Sequence[Looked], *, num_entries: int) -> "FoldedLayout":
        """x has so many entries, and zeros at its end."""
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
        folded = set(order)
        rest_R = torch.tensor([d for d in range(num_entries) if d not in folded]).long()
        return cls(
            tuple(columns),
            torch.tensor(offsets),
            torch.tensor(order),
            rest_R,
            start,
            tuple(map(torch.tensor, vectors)),
            tuple(groups),
            Columns(
                [
                    [one.num_rows, place, one.start, one.width, one.table, one.first, one.share]
                    for one, place in zip(columns, offsets)
                ],
                rest_R,
            ),
        )


def _like(column: Looked) -> tuple[int, int, int]:
    return column.table, column.width, column.num_rows


def _belong_together(smallest: Looked, column: Looked) -> bool:
    return (smallest.table, smallest.width) == (column.table, column.width) and (
        column.num_rows <= _LARGEST_GROWTH * smallest.num_rows
    )
