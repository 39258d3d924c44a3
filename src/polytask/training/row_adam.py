"""Adam for tables of which a batch reads few rows: exact, and without a pass over all rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from polytask.training.skipped_steps import EPSILON, FIRST, NUM_FIELDS, SECOND, SkippedSteps

LAST, HISTORY = "last", "history"
"""Slots of the state that have shapes of their own: (rows,), and (steps, 6)."""

_REPLAYED = 128
"""So many steps are replayed one by one where they were skipped: early on Adam's correction of its second
moment changes too fast for the closed form."""

_ROWS_AT_ONCE = 1 << 16


class Tables(TypedDict):
    """Tables that are stepped alike."""

    params: Sequence[Tensor]
    lr: float


class RowAdam:
    """Adam (Kingma and Ba, ICLR 2015, Algorithm 1) on the rows that have a gradient, equal to Adam on all rows.

    Dense Adam moves a row also in steps that do not touch it, along what is left of its first moment.
    Here these steps are made up for when the row is next read: `catch_up` has to be called with the rows
    before a batch looks them up, `settle` before anybody reads the whole table. Between the two a row
    that no batch reads lags behind. A step then costs what the batch's rows cost, whatever the table has.

    **Shape** tables (V, K) with sparse gradients of rows.

    >>> table = torch.zeros(1000, 4).requires_grad_()
    >>> optimizer = RowAdam([table], learning_rate=0.1)
    >>> rows_U = torch.tensor([3, 7])
    >>> optimizer.catch_up(table, rows_U)
    >>> table.grad = torch.sparse_coo_tensor(rows_U[None], torch.ones(2, 4), (1000, 4), check_invariants=False)
    >>> optimizer.step()
    >>> round(table[3, 0].item(), 6), table[4, 0].item()
    (-0.1, 0.0)
    """

    def __init__(self, tables: Sequence[Tensor], *, learning_rate: float) -> None:
        self.param_groups: list[Tables] = [{"params": list(tables), "lr": learning_rate}]
        self._states = {table: _RowState(table) for table in tables}

    @torch.no_grad()
    def step(self) -> None:
        """Move the rows that have a gradient."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._states[table].step(table.grad, group["lr"])

    @torch.no_grad()
    def catch_up(self, table: Tensor, rows_U: Tensor) -> None:
        """Bring these rows, each named once, to where dense Adam has them now."""
        self._states[table].catch_up(rows_U)

    @torch.no_grad()
    def settle(self) -> None:
        """Bring all rows to where dense Adam has them now."""
        for state in self._states.values():
            state.settle()

    def state_dict(self) -> dict[str, dict[int, dict[str, Tensor]]]:
        """`state`: by the table's place, its moments, when each row was moved, and the steps since."""
        return {"state": {i: state.slots() for i, state in enumerate(self._states.values())}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over copies. Raises LookupError or ValueError where they are not of these tables."""
        states = list(self._states.values())
        for place, slots in state["state"].items():
            states[place].load(slots)


class _RowState:
    """One table's moments, the step at which each row was last moved, and the steps taken."""

    def __init__(self, table: Tensor) -> None:
        self.table = table
        self.mean_VK, self.square_VK = torch.zeros_like(table), torch.zeros_like(table)
        self.last_V = torch.zeros(len(table), dtype=torch.int32, device=table.device)
        self.count = 0
        self.skipped = SkippedSteps()
        self._caught: Tensor | None = None
        """The rows that are up to date because the batch reads them."""

    def step(self, gradient: Tensor, rate: float) -> None:
        rows_U, gradient_UK = self._rows_of(gradient)
        self._caught = None
        self.count += 1
        mean_UK = self.mean_VK.index_select(0, rows_U).lerp_(gradient_UK, 1 - FIRST)
        square_UK = self.square_VK.index_select(0, rows_U).mul_(SECOND)
        square_UK.addcmul_(gradient_UK, gradient_UK, value=1 - SECOND)
        self._move(rows_U, _step_of(mean_UK, square_UK, self.count, rate))
        self._put(rows_U, mean_UK, square_UK)
        self.skipped.add(self.count, rate)
        if self.count == _REPLAYED:
            self.settle()

    def catch_up(self, rows_U: Tensor) -> None:
        self._caught = rows_U
        if not self.count or not len(rows_U):
            return
        last_U = self.last_V.index_select(0, rows_U)
        # What was never touched has no moment that could move it, and is as if it was touched just now.
        last_U = torch.where(last_U > 0, last_U, self.count)
        mean_UK = self.mean_VK.index_select(0, rows_U)
        square_UK = self.square_VK.index_select(0, rows_U)
        if self.count <= _REPLAYED:
            rows_U, mean_UK, square_UK = self._replay(rows_U, last_U, mean_UK, square_UK)
        else:
            self._sum_up(rows_U, last_U, mean_UK, square_UK)
        self._put(rows_U, mean_UK, square_UK)

    def settle(self) -> None:
        late_V = (self.last_V > 0) & (self.last_V < self.count)
        for rows_U in torch.split(late_V.nonzero().squeeze(1), _ROWS_AT_ONCE):
            self.catch_up(rows_U)
        self._caught = None
        if self.count >= _REPLAYED:
            self.skipped.forget_before(self.count)

    def slots(self) -> dict[str, Tensor]:
        return {
            "step": torch.tensor(self.count, dtype=torch.int64),
            "exp_avg": self.mean_VK,
            "exp_avg_sq": self.square_VK,
            LAST: self.last_V,
            HISTORY: torch.from_numpy(self.skipped.history.copy()),
        }

    def load(self, slots: Mapping[str, Tensor]) -> None:
        for name, mine in (
            ("exp_avg", self.mean_VK),
            ("exp_avg_sq", self.square_VK),
            (LAST, self.last_V),
        ):
            if slots[name].shape != mine.shape:
                raise ValueError(f"{name} has the shape {tuple(slots[name].shape)} of other tables")
            mine.copy_(slots[name])
        self.count = int(slots["step"])
        history = slots[HISTORY].cpu().numpy()
        if history.shape != (len(history), NUM_FIELDS) or len(history) > self.count:
            raise ValueError(f"{HISTORY} is of other steps")
        self.skipped = SkippedSteps(history, start=self.count - len(history) + 1)

    def _rows_of(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of a gradient, each once and up to date, and its values; a dense one has all rows."""
        if gradient.is_sparse and self._caught is not None:
            # What autograd hands on has forgotten that each row occurs once.
            rows_U = gradient._indices()[0]
            if torch.equal(self._caught, rows_U):
                return rows_U, gradient._values()
        if gradient.is_sparse:
            gradient = gradient.coalesce()
            rows_U, gradient_UK = gradient.indices()[0], gradient.values()
        else:
            rows_U, gradient_UK = torch.arange(len(gradient), device=gradient.device), gradient
        self.catch_up(rows_U)
        return rows_U, gradient_UK

    def _sum_up(self, rows_U: Tensor, last_U: Tensor, mean_UK: Tensor, square_UK: Tensor) -> None:
        """All skipped steps of each row at once."""
        last_U = last_U.cpu()
        table = torch.from_numpy(self.skipped.table)
        found_U4 = table.index_select(0, last_U - self.skipped.start).to(mean_UK)
        gaps_U1 = (self.count - last_U).double().unsqueeze(1)
        root_UK = square_UK.sqrt()
        moved_UK = found_U4[:, :1] / torch.add(root_UK, found_U4[:, 2:3], alpha=EPSILON)
        moved_UK += found_U4[:, 1:2] / root_UK.add_(found_U4[:, 3:], alpha=EPSILON)
        self._move(rows_U, moved_UK.mul_(mean_UK))
        mean_UK *= torch.pow(FIRST, gaps_U1).to(mean_UK)
        square_UK *= torch.pow(SECOND, gaps_U1).to(mean_UK)

    def _replay(
        self, rows_U: Tensor, last_U: Tensor, mean_UK: Tensor, square_UK: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One skipped step after another, those that lag most first; the rows in that order."""
        last_U, order_U = last_U.sort()
        rows_U, mean_UK, square_UK = rows_U[order_U], mean_UK[order_U], square_UK[order_U]
        moved_UK = torch.zeros_like(mean_UK)
        lasts = last_U.cpu().numpy()
        for step in range(int(lasts[0]) + 1, self.count + 1):
            n = int(np.searchsorted(lasts, step))
            mean_NK, square_NK = mean_UK[:n].mul_(FIRST), square_UK[:n].mul_(SECOND)
            moved_UK[:n] += _step_of(mean_NK, square_NK, step, self.skipped.rate(step))
        self._move(rows_U, moved_UK)
        return rows_U, mean_UK, square_UK

    def _move(self, rows_U: Tensor, step_UK: Tensor) -> None:
        self.table.index_copy_(0, rows_U, self.table.index_select(0, rows_U).sub_(step_UK))

    def _put(self, rows_U: Tensor, mean_UK: Tensor, square_UK: Tensor) -> None:
        self.mean_VK.index_copy_(0, rows_U, mean_UK)
        self.square_VK.index_copy_(0, rows_U, square_UK)
        self.last_V.index_fill_(0, rows_U, self.count)


def _step_of(mean_UK: Tensor, square_UK: Tensor, step: int, rate: float) -> Tensor:
    """What step number `step` subtracts from the rows."""
    bias = math.sqrt(1 - SECOND**step)
    return mean_UK * (rate / (1 - FIRST**step)) / (square_UK.sqrt().div_(bias).add_(EPSILON))
