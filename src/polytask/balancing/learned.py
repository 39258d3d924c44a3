"""Rules on the losses that learn a number a task: uncertainty weighting, IMTL-L, FAMO."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from polytask.balancing.adam import Adam
from polytask.balancing.balancer import Scalarization
from polytask.balancing.gradients import accumulate
from polytask.balancing.laws import Law
from polytask.balancing.measurement import Losses, Measurement, read_scalars
from polytask.balancing.registry import register
from polytask.balancing.scalarization import require_positive, task_vector

Form = Literal["regression", "classification"]


@register("uncertainty")
class Uncertainty(Scalarization):
    """Homoscedastic uncertainty (Kendall, Gal, Cipolla, CVPR 2018, eq. 7 and 10), s = log sigma^2.

    https://arxiv.org/abs/1705.07115 and https://arxiv.org/abs/1805.06334

    regression: exp(-s) L / 2 + s / 2; classification: exp(-s) L + s / 2. `non_negative` puts
    log(1 + exp(s)) in the place of s / 2 (Liebel and Koerner, 2018), so that the total
    cannot fall below 0.

    s is learned by an Adam of its own, without weight decay, in the closed form of its gradient;
    the s that step t leads to is used from step t + 1 on. With `learning_rate=None` the gradient is
    left in `log_variance_T.grad` for an optimizer of yours:
    `{"params": balancer.parameters(), "weight_decay": 0.0}`.

    DIFF: s is held in [-max_log_variance, max_log_variance]; a loss of 0 would drive it off. A
    negative loss, which the formula allows, would do so with a growing weight: it is refused.

    >>> from polytask.balancing import Uncertainty, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> step = balanced_backward([x[0], 3 * x[1]], Uncertainty(2, forms=["classification", "regression"]))
    >>> step.weights.shared_T
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """

    needs_positive_losses = True
    log_variance_T: nn.Parameter
    factor_T: Tensor

    def __init__(
        self,
        num_tasks: int,
        *,
        forms: Sequence[Form] | None = None,
        non_negative: bool = False,
        learning_rate: float | None = 0.025,
        max_log_variance: float = 10.0,
    ) -> None:
        super().__init__(num_tasks)
        forms = ["regression"] * num_tasks if forms is None else list(forms)
        if len(forms) != num_tasks or not set(forms) <= {"regression", "classification"}:
            raise ValueError(
                f"forms needs 'regression' or 'classification' for each of {num_tasks} tasks, "
                f"but is {forms}"
            )
        factors = [0.5 if form == "regression" else 1.0 for form in forms]
        self.non_negative, self.max_log_variance = non_negative, max_log_variance
        factor_T = torch.tensor(factors, dtype=torch.float64)
        self.register_buffer("factor_T", factor_T, persistent=False)
        self.log_variance_T = nn.Parameter(torch.zeros(num_tasks, dtype=torch.float64))
        self.adam = None
        if learning_rate is not None:
            self.adam = Adam(num_tasks, learning_rate=learning_rate)

    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        require_positive(losses_A, tasks_A, rule="Uncertainty", zero_is_fine=True)
        s_T = self.log_variance_T.detach().clamp_(-self.max_log_variance, self.max_log_variance)
        s_A = s_T[tasks_A]
        weights_A = self.factor_T[tasks_A] * (-s_A).exp()
        growth_A = s_A.sigmoid() if self.non_negative else torch.full_like(s_A, 0.5)
        gradient_A = growth_A - weights_A * losses_A
        if self.adam is not None:
            self.adam.step(s_T, gradient_A, tasks_A)
        else:
            gradient_T = torch.zeros_like(s_T).index_put((tasks_A,), gradient_A)
            accumulate(self.log_variance_T, gradient_T)
        return weights_A


@register("imtl_l")
class IMTLL(Scalarization):
    """sum_k exp(s_k) L_k - s_k (Liu et al., ICLR 2021, IMTL-L); at the optimum w_k = 1 / L_k.

    https://openreview.net/forum?id=IMPnRXEWpvr

    s is learned by an Adam of its own in closed form; a new s is used from the next step on.
    DIFF: s is held in [-max_log_scale, max_log_scale]; a negative loss has no optimum: refused.

    >>> from polytask.balancing import IMTLL, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> rule = IMTLL(2, learning_rate=0.1)
    >>> steps = [balanced_backward([x[0], 3 * x[1]], rule) for _ in range(2)]
    >>> [step.weights.shared_T.tolist() for step in steps][0], rule.log_scale_T
    ([1.0, 1.0], tensor([ 0.0000, -0.1993], dtype=torch.float64))
    """

    needs_positive_losses = True
    log_scale_T: Tensor

    def __init__(
        self, num_tasks: int, *, learning_rate: float = 0.025, max_log_scale: float = 10.0
    ) -> None:
        super().__init__(num_tasks)
        self.max_log_scale = max_log_scale
        self.register_buffer("log_scale_T", torch.zeros(num_tasks, dtype=torch.float64))
        self.adam = Adam(num_tasks, learning_rate=learning_rate)

    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        require_positive(losses_A, tasks_A, rule="IMTLL", zero_is_fine=True)
        weights_A = self.log_scale_T[tasks_A].exp()
        self.adam.step(self.log_scale_T, weights_A * losses_A - 1, tasks_A)
        self.log_scale_T.clamp_(-self.max_log_scale, self.max_log_scale)
        return weights_A


@register("famo")
class FAMO(Scalarization):
    """Fast adaptive multitask optimisation (Liu et al., NeurIPS 2023, Algorithm 1).

    https://arxiv.org/abs/2306.03792

    With z = softmax(xi) the step is on sum_k c z_k log L_k, c = 1 / sum_k (z_k / L_k) held
    constant: the weights c z_k / L_k sum to 1. After the optimizer's step hand over the losses of
    the *same* batch, `after_step(losses)`: xi then moves by Adam along the change of the log losses.

    `min_losses` are lower bounds that are subtracted from the losses. The authors also clip the
    shared gradient to norm 1: wrap in NormClipped, or clip in the loop.
    DIFF: no 1e-8 is added to the losses; a loss at or below its bound is refused.

    >>> from polytask.balancing import FAMO, balanced_backward
    >>> x, rule = torch.ones(2, requires_grad=True), FAMO(2)
    >>> balanced_backward([x[0], 3 * x[1]], rule).weights.shared_T
    tensor([0.7500, 0.2500], dtype=torch.float64)
    >>> rule.after_step([torch.tensor(0.5), torch.tensor(3.0)])  # after optimizer.step()
    >>> rule.logits_T
    tensor([-0.0250,  0.0250], dtype=torch.float64)
    """

    laws = frozenset({Law.ANY_ORDER, Law.SCALE_INVARIANT})
    logits_T: Tensor
    min_losses_T: Tensor
    log_losses_T: Tensor

    def __init__(
        self,
        num_tasks: int,
        *,
        learning_rate: float = 0.025,
        weight_decay: float = 0.01,
        min_losses: Sequence[float] | None = None,
    ) -> None:
        super().__init__(num_tasks)
        bounds = 0.0 if min_losses is None else min_losses
        bounds_T = task_vector(bounds, num_tasks, name="min_losses")
        # Whoever gives bounds has thought of losses below 0.
        self.needs_positive_losses = min_losses is None
        self.register_buffer("min_losses_T", bounds_T, persistent=False)
        self.register_buffer("logits_T", torch.zeros(num_tasks, dtype=torch.float64))
        self.register_buffer("log_losses_T", torch.full_like(bounds_T, torch.nan))
        self.adam = Adam(num_tasks, learning_rate=learning_rate, weight_decay=weight_decay)

    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        if not self.log_losses_T.isnan().all():
            raise ValueError(
                "FAMO learns from what a step did to the same batch: after optimizer.step() compute "
                "its losses again, without gradient, and call balancer.after_step(losses)"
            )
        excess_A = losses_A - self.min_losses_T[tasks_A]
        require_positive(excess_A, tasks_A, rule="FAMO (above min_losses)")
        self.log_losses_T[tasks_A] = excess_A.log()
        weights_A = self.logits_T[tasks_A].softmax(0) / excess_A
        return weights_A / weights_A.sum()

    @property
    def needs_losses_after_step(self) -> bool:
        return not bool(self.log_losses_T.isnan().all())

    def after_step(self, losses: Losses) -> None:
        """Move xi by what the step did to the log losses of the tasks that were present in it."""
        losses_T = torch.tensor(read_scalars(losses), dtype=torch.float64)
        tasks_A = (~self.log_losses_T.isnan() & losses_T.isfinite()).nonzero().squeeze(1)
        excess_A = (losses_T - self.min_losses_T)[tasks_A]
        require_positive(excess_A, tasks_A, rule="FAMO (above min_losses)")
        gain_A = self.log_losses_T[tasks_A] - excess_A.log()
        z_A = self.logits_T[tasks_A].softmax(0)
        self.adam.step(self.logits_T, z_A * (gain_A - z_A @ gain_A), tasks_A)
        self.log_losses_T.fill_(torch.nan)
