"""Rules on the losses that learn nothing: fixed weights, random ones, and functions of the losses."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from polytask.balancing.balancer import Scalarization
from polytask.balancing.laws import Law
from polytask.balancing.measurement import Measurement
from polytask.balancing.randomness import generator_at
from polytask.balancing.registry import register


def task_vector(values: Sequence[float] | float, num_tasks: int, *, name: str) -> Tensor:
    """One float64 number a task, from one for all or one for each; ValueError if the count differs."""
    numbers = [float(values)] * num_tasks if isinstance(values, int | float) else list(values)
    if len(numbers) != num_tasks:
        raise ValueError(f"{name} needs one number a task: {num_tasks=}, but {len(numbers)} given")
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{name} must be finite, but are {numbers}")
    return torch.tensor(numbers, dtype=torch.float64)


def require_positive(
    losses_A: Tensor, tasks_A: Tensor, *, rule: str, zero_is_fine: bool = False
) -> None:
    """ValueError, naming the task, for a loss that is not above 0, or below it if zero is fine."""
    least = "of at least" if zero_is_fine else "above"
    for task, loss in zip(tasks_A.tolist(), losses_A.tolist()):
        if loss < 0 or (loss == 0 and not zero_is_fine):
            raise ValueError(
                f"{rule} needs losses {least} 0, but that of task {task} is {loss:g}; "
                "add a constant to it that keeps it positive, or choose a rule on the gradients"
            )


@register("equal")
class Equal(Scalarization):
    """The plain sum of the losses (Kurin et al., NeurIPS 2022: "unitary scalarization").

    https://arxiv.org/abs/2201.04122

    >>> from polytask.balancing import Equal, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], 3 * x[1]], Equal(2)).weights.shared_T
    tensor([1., 1.], dtype=torch.float64)
    """

    laws = frozenset({Law.ANY_ORDER, Law.LINEAR_UNDER_SCALING})

    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return torch.ones_like(losses_A)


@register("static")
class Static(Scalarization):
    """Weights set by hand and kept: sum_k w_k L_k. Without `weights` it is the plain sum.

    >>> from polytask.balancing import Static, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], 3 * x[1]], Static(2, weights=[1.0, 0.5])).weights.shared_T
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """

    laws = frozenset({Law.ANY_ORDER, Law.LINEAR_UNDER_SCALING})
    weights_T: Tensor

    def __init__(self, num_tasks: int, *, weights: Sequence[float] | None = None) -> None:
        super().__init__(num_tasks)
        self.register_buffer("weights_T", _weights(weights, num_tasks), persistent=False)

    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return self.weights_T[tasks_A]


@register("relative")
class Relative(Scalarization):
    """sum_k L_k / C_k^power, C_k the loss of predicting the mean of the labels everywhere.

    Of a yes or no it is the normalised entropy of He et al. (ADKDD 2014, section 3), of a standardised
    quantity 1 - R2: a label of 2 % yes counts as one of a half does, whose log-loss is seven times
    as large. https://doi.org/10.1145/2648584.2648589

    DIFF: a power below 1, between this and the plain sum. The noise of a rare label's gradient, divided by
    C_k, is larger than that of others; divided by the root of C_k it is not.

    `polytask fit` hands over the C_k of the training labels; without them it is the plain sum.

    >>> from polytask.balancing import Relative, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], 3 * x[1]], Relative(2, constant_losses=[0.5, 2.0])).weights.shared_T
    tensor([2.0000, 0.5000], dtype=torch.float64)
    """

    laws = frozenset({Law.ANY_ORDER, Law.LINEAR_UNDER_SCALING})
    weights_T: Tensor

    def __init__(
        self,
        num_tasks: int,
        *,
        constant_losses: Sequence[float] | None = None,
        power: float = 1.0,
    ) -> None:
        super().__init__(num_tasks)
        if not 0 <= power <= 1:
            raise ValueError(f"power must be from 0 to 1, but {power=}")
        losses = 1.0 if constant_losses is None else constant_losses
        losses_T = task_vector(losses, num_tasks, name="constant_losses")
        if (losses_T <= 0).any():
            raise ValueError(f"constant_losses must be above 0, but {constant_losses=}")
        self.register_buffer("weights_T", losses_T**-power, persistent=False)

    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return self.weights_T[tasks_A]


@register("decayed")
class Decayed(Scalarization):
    """w_k gamma_k^t (Tang et al., RecSys 2020, PLE, section 4.3), t the epoch or the step, from 0.

    https://doi.org/10.1145/3383313.3412236

    `decay` is one gamma for all or one a task; above 1 a weight grows. In epochs,
    `balanced_backward` must be told the epoch.

    >>> from polytask.balancing import Decayed, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> rule = Decayed(2, decay=[1.0, 0.5])
    >>> balanced_backward([x[0], 3 * x[1]], rule, epoch=2).weights.shared_T
    tensor([1.0000, 0.2500], dtype=torch.float64)
    """

    laws = frozenset({Law.ANY_ORDER, Law.LINEAR_UNDER_SCALING})
    weights_T: Tensor
    decay_T: Tensor

    def __init__(
        self,
        num_tasks: int,
        *,
        weights: Sequence[float] | None = None,
        decay: float | Sequence[float] = 0.99,
        unit: Literal["epoch", "step"] = "epoch",
    ) -> None:
        super().__init__(num_tasks)
        decay_T = task_vector(decay, num_tasks, name="decay")
        if (decay_T <= 0).any():
            raise ValueError(f"decay must be above 0, but {decay=}")
        if unit not in ("epoch", "step"):
            raise ValueError(f"unit must be 'epoch' or 'step', but {unit=}")
        self.unit = unit
        self.register_buffer("weights_T", _weights(weights, num_tasks), persistent=False)
        self.register_buffer("decay_T", decay_T, persistent=False)

    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        time = measured.step if self.unit == "step" else measured.epoch
        if time is None:
            raise ValueError(
                "Decayed counts in epochs: call balanced_backward(..., epoch=epoch), "
                "or make it with unit='step'"
            )
        return self.weights_T[tasks_A] * self.decay_T[tasks_A] ** time


@register("rlw")
class RLW(Scalarization):
    """Random weights, new at every step, that sum to 1 (Lin et al., TMLR 2022).

    https://arxiv.org/abs/2111.10603

    "normal": softmax of standard normal numbers; "dirichlet": uniform on the simplex.
    DIFF: drawn from (seed, step), not from the global generator.

    >>> from polytask.balancing import RLW, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> step = balanced_backward([x[0], 3 * x[1]], RLW(2, seed=1))
    >>> round(step.weights.shared_T.sum().item(), 6)
    1.0
    """

    laws = frozenset({Law.LINEAR_UNDER_SCALING})

    def __init__(
        self,
        num_tasks: int,
        *,
        distribution: Literal["normal", "dirichlet"] = "normal",
        seed: int = 0,
    ) -> None:
        super().__init__(num_tasks)
        if distribution not in ("normal", "dirichlet"):
            raise ValueError(f"distribution must be 'normal' or 'dirichlet', but {distribution=}")
        self.distribution, self.seed = distribution, seed

    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        generator = generator_at(self.seed, measured.step)
        draw_A = torch.empty_like(losses_A)
        if self.distribution == "normal":
            return draw_A.normal_(generator=generator).softmax(0)
        draw_A.exponential_(generator=generator)
        return draw_A / draw_A.sum()


@register("gls")
class GLS(Scalarization):
    """The geometric mean (prod_k L_k)^(1/T) (Chennupati et al., CVPR workshops 2019).

    https://arxiv.org/abs/1904.08492

    >>> from polytask.balancing import GLS, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], 3 * x[1]], GLS(2)).weights.shared_T
    tensor([0.8660, 0.2887], dtype=torch.float64)
    """

    needs_positive_losses = True
    laws = frozenset({Law.ANY_ORDER, Law.SCALE_INVARIANT})

    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        require_positive(losses_A, tasks_A, rule="GLS")
        return losses_A.log().mean().exp() / (len(losses_A) * losses_A)


@register("scale_invariant")
class ScaleInvariant(Scalarization):
    """sum_k log L_k (Navon et al., ICML 2022, baseline SI): no factor on a loss changes anything.

    https://arxiv.org/abs/2202.01017

    >>> from polytask.balancing import ScaleInvariant, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], 3 * x[1]], ScaleInvariant(2)).weights.shared_T
    tensor([1.0000, 0.3333], dtype=torch.float64)
    """

    needs_positive_losses = True
    laws = frozenset({Law.ANY_ORDER, Law.SCALE_INVARIANT})

    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        require_positive(losses_A, tasks_A, rule="ScaleInvariant")
        return 1 / losses_A


def _weights(weights: Sequence[float] | None, num_tasks: int) -> Tensor:
    weights_T = task_vector(1.0 if weights is None else weights, num_tasks, name="weights")
    if (weights_T < 0).any() or not weights_T.any():
        raise ValueError(f"weights must be >= 0 and not all 0, but {weights=}")
    return weights_T
