"""Rules on the losses that remember what the losses were: DWA and STCH."""

from collections.abc import Sequence

import torch
from torch import Tensor

from polytask.balancing.balancer import Scalarization
from polytask.balancing.laws import Law
from polytask.balancing.measurement import Measurement
from polytask.balancing.registry import register
from polytask.balancing.scalarization import require_positive, task_vector


@register("dwa")
class DWA(Scalarization):
    """Dynamic weight average (Liu, Johns, Davison, CVPR 2019, eq. 7).

    https://arxiv.org/abs/1803.10704

    w_k = T softmax(r_k / temperature), r_k the ratio of the mean losses of the last two windows of
    `window` steps (the paper's window is an epoch); 1 during the first two windows. A task that had
    no label in a window keeps the means that it had.
    DIFF: the ratio is clipped at `max_ratio`, since a loss that was almost 0 would take all weight.

    >>> from polytask.balancing import DWA, balanced_backward
    >>> x, rule = torch.ones(2, requires_grad=True), DWA(2, window=1)
    >>> losses = [[x[0], 3 * x[1]], [0.5 * x[0], 3 * x[1]], [x[0], 3 * x[1]]]
    >>> [balanced_backward(batch, rule).weights.shared_T.tolist() for batch in losses][:2]
    [[1.0, 1.0], [1.0, 1.0]]
    >>> rule.last_T / rule.last_but_one_T
    tensor([0.5000, 1.0000], dtype=torch.float64)
    """

    needs_positive_losses = True
    laws = frozenset({Law.ANY_ORDER, Law.LINEAR_UNDER_SCALING})
    sum_T: Tensor
    count_T: Tensor
    last_T: Tensor
    last_but_one_T: Tensor
    window_index: Tensor

    def __init__(
        self,
        num_tasks: int,
        *,
        temperature: float = 2.0,
        window: int = 100,
        max_ratio: float = 10.0,
    ) -> None:
        super().__init__(num_tasks)
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, but {temperature=}")
        if window < 1:
            raise ValueError(f"window must be at least 1 step, but {window=}")
        if max_ratio <= 0:
            raise ValueError(f"max_ratio must be above 0, but {max_ratio=}")
        self.temperature, self.window, self.max_ratio = temperature, window, max_ratio
        zeros_T = torch.zeros(num_tasks, dtype=torch.float64)
        self.register_buffer("sum_T", zeros_T.clone())
        self.register_buffer("count_T", zeros_T.clone())
        self.register_buffer("last_T", torch.full_like(zeros_T, torch.nan))
        self.register_buffer("last_but_one_T", torch.full_like(zeros_T, torch.nan))
        self.register_buffer("window_index", torch.zeros((), dtype=torch.int64))

    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        require_positive(losses_A, tasks_A, rule="DWA", zero_is_fine=True)
        self._close_window(measured.step // self.window)
        self.sum_T[tasks_A] += losses_A
        self.count_T[tasks_A] += 1
        ratio_A = (self.last_T / self.last_but_one_T)[tasks_A]
        ratio_A = ratio_A.nan_to_num(nan=1.0).clamp(max=self.max_ratio)
        return len(tasks_A) * (ratio_A / self.temperature).softmax(0)

    def _close_window(self, index: int) -> None:
        if index == int(self.window_index):
            return
        mean_T = self.sum_T / self.count_T
        seen_T = self.count_T > 0
        self.last_but_one_T[seen_T] = self.last_T[seen_T]
        self.last_T[seen_T] = mean_T[seen_T]
        self.sum_T.zero_()
        self.count_T.zero_()
        self.window_index.fill_(index)


@register("stch")
class STCH(Scalarization):
    """Smooth Tchebycheff (Lin et al., ICML 2024) of the log losses, times T.

    https://arxiv.org/abs/2402.19078

    T mu log sum_k exp(log(L_k / nadir_k) / mu). Without `nadir` it is each task's mean loss over the
    first `warmup_steps` steps, during which sum_k log L_k is minimised. Small `mu`: the worst task
    alone; large `mu`: all tasks alike.
    DIFF: on log losses and times T, as in the authors' multi-task code; the paper's is on losses.

    >>> from polytask.balancing import STCH, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], 3 * x[1]], STCH(2, nadir=[1.0, 6.0])).weights.shared_T
    tensor([1.3333, 0.2222], dtype=torch.float64)
    """

    needs_positive_losses = True
    nadir_T: Tensor
    count_T: Tensor

    def __init__(
        self,
        num_tasks: int,
        *,
        mu: float = 1.0,
        nadir: Sequence[float] | None = None,
        warmup_steps: int = 100,
    ) -> None:
        super().__init__(num_tasks)
        if mu <= 0:
            raise ValueError(f"mu must be above 0, but {mu=}")
        if warmup_steps < 1:
            raise ValueError(f"warmup_steps must be at least 1, but {warmup_steps=}")
        self.mu, self.warmup_steps = mu, 0 if nadir is not None else warmup_steps
        nadir_T = task_vector(0.0 if nadir is None else nadir, num_tasks, name="nadir")
        if nadir is not None and (nadir_T <= 0).any():
            raise ValueError(f"nadir must be above 0, but {nadir=}")
        self.register_buffer("nadir_T", nadir_T)
        self.register_buffer("count_T", torch.zeros(num_tasks, dtype=torch.float64))
        if nadir is None:  # One of one's own does not follow the factor on a loss.
            self.laws |= {Law.SCALE_INVARIANT}

    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        require_positive(losses_A, tasks_A, rule="STCH")
        self._learn_nadir(losses_A, tasks_A)
        if measured.step < self.warmup_steps:
            return 1 / losses_A
        distance_A = (losses_A / self.nadir_T[tasks_A]).log() / self.mu
        return len(losses_A) * distance_A.softmax(0) / losses_A

    def _learn_nadir(self, losses_A: Tensor, tasks_A: Tensor) -> None:
        """The running mean of each task's first `warmup_steps` losses."""
        learning_A = self.count_T[tasks_A] < self.warmup_steps
        tasks_L, losses_L = tasks_A[learning_A], losses_A[learning_A]
        self.count_T[tasks_L] += 1
        self.nadir_T[tasks_L] += (losses_L - self.nadir_T[tasks_L]) / self.count_T[tasks_L]
