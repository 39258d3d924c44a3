"""Products of looked-up columns by a kernel of C."""

from collections.abc import Sequence

import torch
from torch import Tensor

from polytask.inputs.fold_gradients import FoldGradients, add_rest, rest_product
from polytask.inputs.fold_layout import FoldedLayout
from polytask.kernels import MOST_REST, FoldKernel


class ByKernel:
    """A table of so many outputs at a time as stay in the cache (see kernels/fold.c)."""

    def __init__(
        self,
        layout: FoldedLayout,
        tables: Sequence[Tensor],
        ids_BC: Tensor,
        shares_BS: Tensor | None,
        rest_BR: Tensor,
    ) -> None:
        self._layout, self._rest_BR = layout, rest_BR
        # More than these are products worth a library.
        self._has_rest = rest_BR.shape[1] <= MOST_REST
        rest = rest_BR if self._has_rest else None
        self._fold = FoldKernel(layout.in_kernels, tables, ids_BC, shares_BS, rest)

    def linear(self, weight_HD: Tensor, bias_H: Tensor | None, *, is_rectified: bool) -> Tensor:
        """x W^T + b, and a ReLU if asked for."""
        weight_HD, y_BH = weight_HD.contiguous(), None
        if not self._has_rest:
            y_BH, bias_H = rest_product(self._layout, self._rest_BR, weight_HD, bias_H), None
        return self._fold.forward(weight_HD, bias_H, y_BH, is_rectified=is_rectified)

    def gradients(
        self,
        weight_HD: Tensor,
        y_BH: Tensor | None,
        dy_BH: Tensor,
        *,
        needs_bias: bool,
        needs_below: bool,
    ) -> FoldGradients:
        """y are the outputs if they were rectified. What lies below the ReLU is written only for who needs it."""
        dy_BH, dweight_HD = dy_BH.contiguous(), weight_HD.new_empty(weight_HD.shape)
        below_BH: Tensor | None = dy_BH
        if y_BH is not None:
            is_read = needs_below or not self._has_rest
            below_BH = torch.empty_like(dy_BH) if is_read else None
        dbias_H = dy_BH.new_empty(dy_BH.shape[1]) if needs_bias else None
        dtables = self._fold.backward(
            weight_HD.contiguous(),
            y_BH,
            dy_BH,
            dz_BH=None if below_BH is dy_BH else below_BH,
            dweight_HD=dweight_HD,
            dbias_H=dbias_H,
        )
        if not self._has_rest:
            assert below_BH is not None
            add_rest(self._layout, self._rest_BR, below_BH, dweight_HD)
        return FoldGradients(below_BH, dweight_HD, dbias_H, dtables)
