"""The kernel of the folded first layer, of tensors."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from polytask.kernels.suited import LANES, call

_SOME = 64
"""Outputs that are made at a time, as in the source."""

MOST_REST = 48
"""Entries of x beside the looked-up columns, up to which the kernel makes their products as well."""


class Columns:
    """Looked-up columns of x, each a row of seven: its number of values, its place among the rows of the table of
    all values, where it starts in x, its width, the table and the first row of its vectors, and
    which of a row's shares it has, -1 for none. `rest_R` are the other entries of x.

    >>> Columns([[5, 0, 0, 2, 0, 0, -1], [3, 5, 2, 2, 0, 5, 0]], torch.tensor([4])).num_values
    8
    """

    def __init__(self, columns: Sequence[Sequence[int]], rest_R: Tensor) -> None:
        self.described, self.rest_R = torch.tensor(columns), rest_R
        self.num_values = max(place + num_rows for num_rows, place, *_ in columns)
        self.num_shares = 1 + max(share for *_, share in columns)


_SIZES = ("batch", "outputs", "inputs", "columns", "values", "rest", "shared", "threads")
_POINTERS = (
    *("of", "tables", "rest_at", "rest_entries"),
    *("most", "starts", "ids", "shares", "having"),
)


class _Fold(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_void_p) for name in (*_POINTERS, "weight", "room")),
    )


class FoldKernel:
    """The looked-up columns of a batch, by their ids (B, C), int64, and the shares of those that have some.

    With `rest_BR` the kernel makes the products of the other entries, too. Raises IndexError where an id is none
    of its column's.
    """

    def __init__(
        self,
        columns: Columns,
        tables: Sequence[Tensor],
        ids_BC: Tensor,
        shares_BS: Tensor | None,
        rest_BR: Tensor | None,
    ) -> None:
        assert all(table.is_contiguous() for table in tables)
        assert (0 if shares_BS is None else shares_BS.shape[1]) == columns.num_shares
        self._columns, self._tables, self._shape = columns, tables, ids_BC.shape
        self._room: Tensor | None = None
        rest_BR = None if rest_BR is None else rest_BR.contiguous()
        # What most rows have of each column, where a row's other entries begin, these as rows and shares (the kernel
        # writes one place ahead), and who has what most have.
        num_rows, num_columns = ids_BC.shape
        sizes = (num_columns, num_rows + 1, ids_BC.numel() + 1)
        made = [torch.empty(size, dtype=torch.int32) for size in sizes]
        shares_N = torch.empty(ids_BC.numel() + 1)
        having = torch.zeros((num_rows + 7) // 8, num_columns, dtype=torch.uint8)
        self._num_rest = 0 if rest_BR is None else rest_BR.shape[1]
        of_columns = (columns.described, _pointers(tables), columns.rest_R)
        self._kept = (*of_columns, rest_BR, *made, shares_N, having)
        counts_V = torch.zeros(columns.num_values, dtype=torch.int32)
        shares_BS = None if shares_BS is None else shares_BS.contiguous()
        if call("fold_rows", self._told(None), ids_BC.contiguous(), shares_BS, counts_V):
            raise IndexError("an id is beyond its column's values")

    def forward(
        self, weight_HD: Tensor, bias_H: Tensor | None, y_BH: Tensor | None, *, is_rectified: bool
    ) -> Tensor:
        """x W^T + b and, if asked for, a ReLU; with y, where the rest's products are, y + x W^T in its place."""
        is_added = y_BH is not None
        y_BH = weight_HD.new_empty(self._shape[0], len(weight_HD)) if y_BH is None else y_BH
        fold = self._told(weight_HD)
        name = f"fold_forward{_few(weight_HD)}"
        call(name, fold, bias_H, y_BH, int(is_added), int(is_rectified))
        return y_BH

    def backward(
        self,
        weight_HD: Tensor,
        y_BH: Tensor | None,
        dy_BH: Tensor,
        *,
        dz_BH: Tensor | None,
        dweight_HD: Tensor,
        dbias_H: Tensor | None,
    ) -> list[Tensor | None]:
        """The gradients of the tables that want one; fills the last three, of what the kernel makes products of.

        y are the outputs where they are rectified: dz is the gradient below.
        """
        gradients = [torch.zeros_like(t) if t.requires_grad else None for t in self._tables]
        fold = self._told(weight_HD)
        tensors = (y_BH, dy_BH, dz_BH, dweight_HD, dbias_H)
        call(f"fold_backward{_few(weight_HD)}", fold, *tensors, _pointers(gradients))
        return gradients

    def _told(self, weight_HD: Tensor | None) -> _Fold:
        """What the kernel is told. Its room is made once a batch: asking for so much takes as long as a gate."""
        outputs, inputs = (0, 0) if weight_HD is None else weight_HD.shape
        columns, threads = self._columns, torch.get_num_threads()
        room = self._room
        size = threads * (inputs + columns.num_values + 4) * _SOME
        if weight_HD is not None and (room is None or len(room) < size):
            room = self._room = torch.empty(size)
        sizes = (self._shape[0], outputs, inputs, self._shape[1], columns.num_values)
        data = (*self._kept, weight_HD, room)
        pointers = (None if each is None else each.data_ptr() for each in data)
        return _Fold(*sizes, self._num_rest, columns.num_shares, threads, *pointers)


def _few(weight_HD: Tensor) -> str:
    return "_few" if len(weight_HD) <= LANES else ""


def _pointers(tensors: Sequence[Tensor | None]) -> Tensor:
    return torch.tensor([0 if tensor is None else tensor.data_ptr() for tensor in tensors])
