"""Row-wise Adagrad for embedding tables: one number a row beside the weights, where Adam has two a weight."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from polytask.training.row_adam import Tables

ROW_SUM = "sum"
"""The slot of the state that has one number a row."""

_EPSILON = 1e-8


class RowwiseAdagrad:
    """Adagrad (Duchi, Hazan and Singer, JMLR 2011) whose sum of squares is one number for all weights of a row.

    With the gradient g of a row of K weights: s <- s + mean(g^2), w <- w - rate g / (sqrt(s) + 1e-8).
    Source: Mudigere et al., ISCA 2022 (row-wise AdaGrad), and `rowwise_adagrad` of FBGEMM's
    fbgemm_gpu/codegen/genscript/optimizers.py, which TorchRec's tables are stepped by. As there, the gradients
    of a row that occurs more than once in a batch are added up before they are squared. Rows without a
    gradient stay where they are, so that a step costs what the batch's rows cost.

    **Shape** tables (V, K) with gradients that are sparse in rows, or dense.

    >>> table = torch.zeros(1000, 4).requires_grad_()
    >>> optimizer = RowwiseAdagrad([table], learning_rate=0.1)
    >>> rows_U = torch.tensor([3, 7])
    >>> table.grad = torch.sparse_coo_tensor(rows_U[None], torch.ones(2, 4), (1000, 4), check_invariants=False)
    >>> optimizer.step()
    >>> round(table[3, 0].item(), 6), table[4, 0].item()
    (-0.1, 0.0)
    """

    def __init__(self, tables: Sequence[Tensor], *, learning_rate: float) -> None:
        self.param_groups: list[Tables] = [{"params": list(tables), "lr": learning_rate}]
        self._sums_V = [torch.zeros_like(table[:, 0]) for table in tables]

    @torch.no_grad()
    def step(self) -> None:
        """Move the rows that have a gradient."""
        (group,) = self.param_groups
        for table, sum_V in zip(group["params"], self._sums_V):
            if table.grad is None:
                continue
            if not table.grad.is_sparse:
                sum_V += table.grad.square().mean(dim=1)
                table -= group["lr"] * _scaled(table.grad, sum_V)
                continue
            gradient = table.grad.coalesce()
            rows_U, gradient_UK = gradient.indices()[0], gradient.values()
            sum_U = sum_V.index_select(0, rows_U).add_(gradient_UK.square().mean(dim=1))
            moved_UK = table.index_select(0, rows_U).sub_(group["lr"] * _scaled(gradient_UK, sum_U))
            sum_V.index_copy_(0, rows_U, sum_U)
            table.index_copy_(0, rows_U, moved_UK)

    def state_dict(self) -> dict[str, dict[int, dict[str, Tensor]]]:
        """`state`: by the table's place, the sum of each row."""
        return {"state": {i: {ROW_SUM: sum_V} for i, sum_V in enumerate(self._sums_V)}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over copies. Raises LookupError or ValueError where they are not of these tables."""
        for place, slots in state["state"].items():
            mine_V, theirs_V = self._sums_V[place], slots[ROW_SUM]
            if theirs_V.shape != mine_V.shape:
                raise ValueError(f"{ROW_SUM} has the shape {tuple(theirs_V.shape)} of other tables")
            mine_V.copy_(theirs_V)


def _scaled(gradient_UK: Tensor, sum_U: Tensor) -> Tensor:
    return gradient_UK / sum_U.sqrt().add_(_EPSILON).unsqueeze(1)
