"""Weights that trust what tasks have in common: SVD-based reweighting (Wu, Zhang and Re, ICLR 2020)."""

import torch
from torch import Tensor

from polytask.balancing.balancer import Scalarization
from polytask.balancing.measurement import Measurement


def standardised(labels_BT: Tensor) -> Tensor:
    """Each task's labels with mean 0 and deviation 1; all 0 where they are equal; missing ones stay NaN.

    **Shape** (B, T) -> (B, T), float64.

    >>> standardised(torch.tensor([[1.0], [3.0], [torch.nan]])).flatten().tolist()
    [-1.0, 1.0, nan]
    """
    labels_BT = labels_BT.double()
    present_BT = ~labels_BT.isnan()
    count_T = present_BT.sum(0).clamp_min(1)
    centred_BT = labels_BT - labels_BT.nansum(0) / count_T
    deviation_T = (centred_BT.square().nansum(0) / count_T).sqrt()
    return centred_BT / torch.where(deviation_T > 0, deviation_T, 1.0)


def label_directions(features_BD: Tensor, labels_BT: Tensor) -> Tensor:
    """theta_i = X^T y_i (D, T): where in the space of features each task's label points.

    DIFF: a row that has no label of a task counts 0 in it, and theta_i is the mean over those that have
    one, so that a task's weight is not a matter of how many rows are labelled.

    **Shape** (B, D), (B, T) -> (D, T), float64.

    >>> x_BD = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> label_directions(x_BD, torch.tensor([[1.0], [torch.nan]])).flatten().tolist()
    [1.0, 0.0]
    """
    labels_BT = labels_BT.double()
    count_T = (~labels_BT.isnan()).sum(0).clamp_min(1)
    theta_DT: Tensor = features_BD.detach().double().T @ labels_BT.nan_to_num(0.0) / count_T
    return theta_DT


def svd_weights(theta_DT: Tensor, *, rank: int, sum_to_tasks: bool = True) -> Tensor:
    """alpha_i = |theta_i^T U_r|, U_r the leading left singular vectors of [theta_1 .. theta_T].

    Algorithm 2: what of a label lies outside of the r directions that all labels together prefer is
    taken for noise, and weighs nothing. With r at the rank of theta nothing is cut: alpha_i = |theta_i|.
    The paper's weights grow with a label's scale: twice the label, twice the weight. Standardise labels
    first (`standardised`). `sum_to_tasks` divides them by their mean; without it they are the paper's.

    **Shape** (D, T) -> (T,).

    >>> svd_weights(torch.tensor([[1.0, 1.0], [0.0, 0.1]]).double(), rank=1)
    tensor([0.9975, 1.0025], dtype=torch.float64)
    """
    if not 1 <= rank <= theta_DT.shape[1]:
        raise ValueError(
            f"rank must be between 1 and the number of tasks, but {rank=} and {theta_DT.shape[1]} tasks"
        )
    left_DR = torch.linalg.svd(theta_DT, full_matrices=False).U[:, :rank]
    alpha_T: Tensor = (theta_DT.T @ left_DR).norm(dim=1)
    if not sum_to_tasks:
        return alpha_T
    mean = alpha_T.mean()
    return alpha_T / mean if mean > 0 else torch.ones_like(alpha_T)


class SVDReweighting(Scalarization):
    """sum_i alpha_i L_i with the weights of SVD-based reweighting (Wu, Zhang and Re, ICLR 2020, Algorithm 2).

    `observe` sets the weights from features of the trunk and the labels of the same rows, as often as the
    caller's loop likes; before that all are 1. They sum to the number of tasks, and labels are standardised.
    It has no name in run.yaml, since a fit hands its balancer losses, not features.

    Paper: https://openreview.net/forum?id=SylzhkBtDB

    >>> balancer = SVDReweighting(2, rank=1)
    >>> x_BD = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.1]])
    >>> balancer.observe(x_BD, torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]))
    >>> bool(balancer.weights_T[0] > balancer.weights_T[1])
    True
    """

    weights_T: Tensor

    def __init__(self, num_tasks: int, *, rank: int = 1) -> None:
        super().__init__(num_tasks)
        if not 1 <= rank <= num_tasks:
            raise ValueError(f"rank must be between 1 and {num_tasks}, but {rank=}")
        self.rank = rank
        self.register_buffer("weights_T", torch.ones(num_tasks, dtype=torch.float64))

    def observe(self, features_BD: Tensor, labels_BT: Tensor) -> None:
        """Weigh by these rows; NaN where a task has no label."""
        theta_DT = label_directions(features_BD.cpu(), standardised(labels_BT.cpu()))
        self.weights_T.copy_(svd_weights(theta_DT, rank=self.rank))

    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return self.weights_T[tasks_A]
