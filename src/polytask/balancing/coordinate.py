"""Rules that decide about every coordinate of the shared gradient by itself."""

from collections.abc import Sequence

import torch
from torch import Tensor

from polytask import kernels
from polytask.balancing.balancer import CoordinateRule
from polytask.balancing.gradients import block_size
from polytask.balancing.measurement import Measurement
from polytask.balancing.randomness import generator_at
from polytask.balancing.registry import register
from polytask.balancing.scalarization import task_vector


def grad_drop(jacobian_TP: Tensor, uniform_P: Tensor, leak_T: Tensor) -> Tensor:
    """Keep one sign a coordinate (Chen et al., NeurIPS 2020, GradDrop, Algorithm 1).

    https://arxiv.org/abs/2010.06808

    The share of positive gradient is P = (1 + sum_i g_i / sum_i |g_i|) / 2; a coordinate keeps its
    positive gradients where P is above the uniform number, its negative ones where it is below.
    `leak_T` lets that part of a task's gradient through anyway.

    >>> from polytask.balancing.coordinate import grad_drop
    >>> jacobian_TP = torch.tensor([[1.0, 2.0], [-3.0, 1.0]])
    >>> grad_drop(jacobian_TP, torch.tensor([0.5, 0.5]), torch.zeros(2))
    tensor([-3.,  3.])
    """
    leak_T = leak_T.to(jacobian_TP)
    if jacobian_TP.is_contiguous() and kernels.suits(len(uniform_P), jacobian_TP, uniform_P):
        return kernels.one_sign([*jacobian_TP], uniform_P, leak_T)
    # Blocks whose intermediate values, a row a task, stay in the cache.
    size = max(1, block_size(jacobian_TP.device) // len(jacobian_TP))
    blocks = zip(torch.split(jacobian_TP, size, dim=1), torch.split(uniform_P, size))
    return torch.cat([_keep_one_sign(rows_TN, u_N, leak_T) for rows_TN, u_N in blocks])


def _keep_one_sign(jacobian_TN: Tensor, uniform_N: Tensor, leak_T: Tensor) -> Tensor:
    rising_TN, falling_TN = jacobian_TN.clamp(min=0), jacobian_TN.clamp(max=0)
    rising_N, falling_N = rising_TN.sum(0), falling_TN.sum(0)
    # P = rising / (rising - falling), without the division.
    is_rising_N = rising_N > uniform_N * (rising_N - falling_N)
    return torch.where(is_rising_N, rising_N + leak_T @ falling_TN, falling_N + leak_T @ rising_TN)


@register("graddrop")
class GradDrop(CoordinateRule):
    """Drop one sign of the gradient at each coordinate, at random by its share (GradDrop).

    https://arxiv.org/abs/2010.06808

    `leak`: one number for all tasks or one a task, 0 (the paper's rule) to 1 (the plain sum).
    DIFF: at the parameters, or coordinate by coordinate at the seam; the paper multiplies the
    gradient of an activation by its sign and sums it over the batch to find P. The uniform numbers
    are drawn from (seed, step).

    >>> from polytask.balancing import GradDrop, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> _ = balanced_backward([x.sum(), x[0] - 2 * x[1]], GradDrop(2, seed=1))
    >>> x.grad
    tensor([2., 1.])
    """

    leak_T: Tensor

    def __init__(
        self, num_tasks: int, *, leak: float | Sequence[float] = 0.0, seed: int = 0
    ) -> None:
        super().__init__(num_tasks)
        leak_T = task_vector(leak, num_tasks, name="leak")
        if (leak_T < 0).any() or (leak_T > 1).any():
            raise ValueError(f"leak must lie between 0 and 1, but {leak=}")
        self.seed = seed
        self.register_buffer("leak_T", leak_T, persistent=False)

    def combine(self, jacobian_AP: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        generator = generator_at(self.seed, measured.step, device=jacobian_AP.device)
        uniform_P = torch.empty(
            jacobian_AP.shape[1], dtype=torch.float32, device=jacobian_AP.device
        ).uniform_(generator=generator)
        return grad_drop(jacobian_AP, uniform_P, self.leak_T[tasks_A])
