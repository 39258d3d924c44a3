"""Adam for the few numbers that a rule learns, with all of its state in buffers."""

import torch
from torch import Tensor, nn

_FIRST, _SECOND, _EPSILON = 0.9, 0.999, 1e-8


class Adam(nn.Module):
    """One Adam (Kingma and Ba, ICLR 2015, Algorithm 1) a task, in float64.

    https://arxiv.org/abs/1412.6980. Every task counts its own updates, so a task that was absent goes on where it stopped.
    `weight_decay` is added to the gradient, as in `torch.optim.Adam`.

    >>> from polytask.balancing.adam import Adam
    >>> values_T, ones_T = torch.zeros(3).double(), torch.ones(2).double()
    >>> Adam(3, learning_rate=0.1).step(values_T, ones_T, torch.tensor([0, 2]))
    >>> values_T
    tensor([-0.1000,  0.0000, -0.1000], dtype=torch.float64)
    """

    mean_T: Tensor
    square_T: Tensor
    count_T: Tensor

    def __init__(
        self,
        num_tasks: int,
        *,
        learning_rate: float,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        if learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, but {learning_rate=}")
        if weight_decay < 0:
            raise ValueError(f"weight_decay must be at least 0, but {weight_decay=}")
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        for name in ("mean_T", "square_T", "count_T"):
            self.register_buffer(name, torch.zeros(num_tasks, dtype=torch.float64))

    def step(self, values_T: Tensor, gradient_A: Tensor, tasks_A: Tensor) -> None:
        """Move the values of these tasks, in place, against their gradient."""
        # On T numbers numpy costs a tenth of what torch's operations do.
        rows, values = tasks_A.numpy(), values_T.detach().numpy()
        mean, square, count = self.mean_T.numpy(), self.square_T.numpy(), self.count_T.numpy()
        gradient = gradient_A.numpy() + self.weight_decay * values[rows]
        count[rows] += 1
        mean[rows] = _FIRST * mean[rows] + (1 - _FIRST) * gradient
        square[rows] = _SECOND * square[rows] + (1 - _SECOND) * gradient**2
        unbiased_mean = mean[rows] / (1 - _FIRST ** count[rows])
        unbiased_square = square[rows] / (1 - _SECOND ** count[rows])
        values[rows] -= self.learning_rate * unbiased_mean / (unbiased_square**0.5 + _EPSILON)
