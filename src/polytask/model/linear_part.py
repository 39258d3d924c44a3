"""A linear regression on the numbers, beside the network: what goes on where no row was trained on."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_PENALTIES = tuple(10.0 ** (exponent / 2) for exponent in range(-6, 9))
_WORTH_IT = 0.4
"""Of the variance of a label. Where a line explains less, a network that learns the rest is no better for it."""
_FEWEST_ROWS = 10
_BEYOND = 1.0
"""How far beyond the training rows a line goes on, in widths of their range."""


class LinearPart(nn.Module):
    """Ridge regressions of quantities on the N numbers of `inputs["numeric"]`, which heads' outputs are added to.

    They are fitted once, before the training, and stay: the network learns what they leave. Bins of
    numbers end with the training rows; a line goes on, as far again as their range. A task that a
    line explains less than 0.4 of (left-one-out R2) has weights of 0, and so has one that is no quantity.

    Source: Allen, Technometrics 1974 (PRESS: the left-one-out residuals that choose the penalty); a
    linear part beside a network is that of Cheng et al., Wide & Deep, DLRS 2016.
    DIFF: it is not trained with the network, and has numbers alone.

    **Shape** (B, N), NaN where missing -> (B, T).

    >>> part = LinearPart(num_columns=1, num_tasks=2)
    >>> x_B1 = torch.linspace(-1, 1, 50)[:, None]
    >>> r2 = part.fit(x_B1, {0: 2 * x_B1[:, 0]}, {})[0]
    >>> r2 > 0.999
    True
    >>> part({"numeric": torch.tensor([[1.5], [float("nan")]])}).round(decimals=2)
    tensor([[3., 0.],
            [0., 0.]])
    """

    weight_TN: Tensor
    mean_N: Tensor
    low_N: Tensor
    high_N: Tensor

    def __init__(self, *, num_columns: int, num_tasks: int) -> None:
        super().__init__()
        self.register_buffer("weight_TN", torch.zeros(num_tasks, num_columns))
        for name in ("mean_N", "low_N", "high_N"):
            self.register_buffer(name, torch.zeros(num_columns))

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        values_BN = inputs["numeric"]
        centred_BN = (values_BN.clamp(self.low_N, self.high_N) - self.mean_N).nan_to_num()
        return centred_BN @ self.weight_TN.T

    @torch.no_grad()
    def fit(
        self, values_BN: Tensor, labels: Mapping[int, Tensor], weights: Mapping[int, Tensor]
    ) -> dict[int, float]:
        """Fit the regressions of the tasks that have `labels` (B,), NaN where missing, by row weights (B,).

        Returns the left-one-out R2 by task; those that are worth it are kept.
        """
        values_BN = values_BN.double()
        present_BN = values_BN.isfinite()
        values_BN = values_BN.nan_to_num()
        mean_N = values_BN.sum(dim=0) / present_BN.sum(dim=0).clamp(min=1)
        values_BN = values_BN.where(present_BN, mean_N)
        low_N, high_N = values_BN.aminmax(dim=0)
        reach_N = _BEYOND * (high_N - low_N)
        self.mean_N.copy_(mean_N)
        self.low_N.copy_(low_N - reach_N)
        self.high_N.copy_(high_N + reach_N)
        found = {}
        for task, labels_B in labels.items():
            weights_B = weights.get(task, torch.ones(len(labels_B)))
            kept_B = labels_B.isfinite() & (weights_B > 0)
            if kept_B.sum() < _FEWEST_ROWS:
                continue
            x_BN = values_BN[kept_B] - mean_N
            slope_N, found[task] = _ridge(
                x_BN, labels_B[kept_B].double(), weights_B[kept_B].double()
            )
            if found[task] >= _WORTH_IT:
                self.weight_TN[task] = slope_N.to(self.weight_TN)
        return found


def _ridge(x_BN: Tensor, y_B: Tensor, weights_B: Tensor) -> tuple[Tensor, float]:
    """The slopes (N,) of the penalty with the smallest left-one-out error, and that error's R2."""
    total = weights_B.sum()
    root_B = (weights_B / total).sqrt()
    y_B = (y_B - (weights_B * y_B).sum() / total) * root_B
    x_BN = (x_BN - (weights_B[:, None] * x_BN).sum(dim=0) / total) * root_B[:, None]
    left_BK, size_K, right_KN = torch.linalg.svd(x_BN, full_matrices=False)
    along_K, variance = left_BK.T @ y_B, y_B.square().sum()
    best = (torch.zeros(x_BN.shape[1], dtype=torch.float64), -float("inf"))
    for penalty in _PENALTIES:
        # The root of weights that sum to one makes the squares of x's entries means over the rows.
        shrunk_K = size_K.square() / (size_K.square() + penalty / len(y_B))
        own_B = left_BK.square() @ shrunk_K + root_B.square()
        left_out_B = (y_B - left_BK @ (shrunk_K * along_K)) / (1 - own_B).clamp(min=1e-6)
        r2 = float(1 - left_out_B.square().sum() / variance) if variance > 0 else 0.0
        if r2 > best[1]:
            slope_K = torch.where(size_K > 0, shrunk_K * along_K / size_K.clamp(min=1e-12), 0.0)
            best = (right_KN.T @ slope_K, r2)
    return best
