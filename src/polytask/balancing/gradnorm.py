"""GradNorm: weights that bring the tasks' gradient norms to targets set by their training rates."""

from collections.abc import Sequence

import torch
from torch import Tensor

from polytask.balancing.adam import Adam
from polytask.balancing.balancer import Balancer
from polytask.balancing.measurement import Measurement, Need, Weights
from polytask.balancing.registry import register
from polytask.balancing.scalarization import require_positive, task_vector


def gradnorm_gradient(
    weights_T: Tensor, norms_T: Tensor, ratios_T: Tensor, *, alpha: float
) -> Tensor:
    """d L_grad / d w (Chen et al., ICML 2018, eq. 2), the targets held constant.

    https://arxiv.org/abs/1711.02257

    `norms_T` are |grad_W L_i| of the unweighted losses, `ratios_T` are L_i(t) / L_i(0). With
    G_i = w_i n_i and the target mean(G) r_i^alpha, d |G_i - target_i| / d w_i is +n_i or -n_i, so no
    second derivative is needed.

    >>> from polytask.balancing.gradnorm import gradnorm_gradient
    >>> ones_T, norms_T = torch.ones(2), torch.tensor([1.0, 3.0])
    >>> gradnorm_gradient(ones_T, norms_T, ones_T, alpha=1.5)
    tensor([-1.,  3.])
    """
    grad_norms_T = weights_T * norms_T
    mean_ratio = ratios_T.mean()
    rates_T = ratios_T / mean_ratio if mean_ratio > 0 else torch.ones_like(ratios_T)
    targets_T = grad_norms_T.mean() * rates_T**alpha
    return (grad_norms_T - targets_T).sign() * norms_T


@register("gradnorm")
class GradNorm(Balancer):
    """GradNorm (Chen et al., ICML 2018, Algorithm 1): weights of all parameters, summing to T.

    https://arxiv.org/abs/1711.02257

    The norms are measured at `last_shared_layer`, or at the `parameters` handed to
    `balanced_backward`. Step t uses w(t), then w moves by an Adam of its own and is renormalised.
    `initial_losses`: L(0) of each task, log C for a cross-entropy over C classes; without it the
    first loss that is seen. `alpha` 0 equalises the norms; above, slower tasks are pulled harder.
    With `at_last_layer=False` it is measured where other rules are: cheap at a seam.

    DIFF: w is held above `min_weight` before it is renormalised, as a large step could make it
    negative. With absent tasks the present ones keep the sum of their weights, and the weights
    that are used are scaled to sum to their number.

    >>> from polytask.balancing import GradNorm, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> rule = GradNorm(2, learning_rate=0.1)
    >>> _ = balanced_backward([x[0], 3 * x[1]], rule)
    >>> rule.weights_T  # of the next step
    tensor([1.1000, 0.9000], dtype=torch.float64)
    """

    needs = Need.GRAM
    needs_positive_losses = True
    weights_T: Tensor
    initial_losses_T: Tensor

    def __init__(
        self,
        num_tasks: int,
        *,
        alpha: float = 1.5,
        learning_rate: float = 0.025,
        initial_losses: Sequence[float] | None = None,
        min_weight: float = 1e-3,
        at_last_layer: bool = True,
    ) -> None:
        super().__init__(num_tasks)
        self.at_last_layer = at_last_layer
        if not 0 < min_weight < 1:
            raise ValueError(f"min_weight must lie between 0 and 1, but {min_weight=}")
        self.alpha, self.min_weight = alpha, min_weight
        self.register_buffer("weights_T", torch.ones(num_tasks, dtype=torch.float64))
        initial_T = torch.full_like(self.weights_T, torch.nan)
        if initial_losses is not None:
            initial_T = task_vector(initial_losses, num_tasks, name="initial_losses")
            require_positive(initial_T, torch.arange(num_tasks), rule="GradNorm's initial_losses")
        self.register_buffer("initial_losses_T", initial_T)
        self.adam = Adam(num_tasks, learning_rate=learning_rate)

    def weigh(self, measured: Measurement, tasks_A: Tensor) -> Weights:
        ratios_A = self._loss_ratios(measured.losses_T, tasks_A)
        before_A = self.weights_T[tasks_A]
        if measured.gram_TT is not None and len(tasks_A) > 1:
            norms_A = measured.gram_TT.diagonal().sqrt()
            gradient_A = gradnorm_gradient(before_A, norms_A, ratios_A, alpha=self.alpha)
            self.adam.step(self.weights_T, gradient_A, tasks_A)
            after_A = self.weights_T[tasks_A].clamp(min=self.min_weight)
            self.weights_T[tasks_A] = after_A * (before_A.sum() / after_A.sum())
        used_A = before_A * (len(tasks_A) / before_A.sum())
        return Weights(used_A, used_A)

    def _loss_ratios(self, losses_A: Tensor, tasks_A: Tensor) -> Tensor:
        require_positive(losses_A, tasks_A, rule="GradNorm", zero_is_fine=True)
        first_A = tasks_A[self.initial_losses_T[tasks_A].isnan()]
        if len(first_A):
            losses_F = losses_A[self.initial_losses_T[tasks_A].isnan()]
            require_positive(losses_F, first_A, rule="GradNorm's first step")
            self.initial_losses_T[first_A] = losses_F
        return losses_A / self.initial_losses_T[tasks_A]
