"""The rules that look for conflicts: PCGrad, GradVac, CAGrad, and the gate by the cosine."""

from typing import Literal

import torch
from torch import Tensor

from polytask.balancing import gram
from polytask.balancing.balancer import GramRule
from polytask.balancing.gram.surgery import Reduction
from polytask.balancing.laws import NEVER_AGAINST_A_TASK, Law
from polytask.balancing.measurement import Measurement, Weights
from polytask.balancing.randomness import seed_at
from polytask.balancing.registry import register

_LINEAR = frozenset({Law.LINEAR_UNDER_SCALING})


@register("pcgrad")
class PCGrad(GramRule):
    """Project each gradient off those it conflicts with (Yu et al., NeurIPS 2020, Algorithm 1).

    https://arxiv.org/abs/2001.06782. The order of the visits is drawn from (seed, step). With three
    tasks or more the sum may still conflict with one.

    >>> from polytask.balancing import PCGrad, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], x[1] - x[0]], PCGrad(2)).weights.shared_T
    tensor([2.0000, 1.5000], dtype=torch.float64)
    """

    laws = _LINEAR

    def __init__(self, num_tasks: int, *, seed: int = 0, reduction: Reduction = "sum") -> None:
        super().__init__(num_tasks)
        self.seed = seed
        self.reduction: Reduction = reduction
        self.check_options()

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        seed = seed_at(self.seed, measured.step)
        return gram.pcgrad(gram_AA, seed=seed, reduction=self.reduction)


@register("gradvac")
class GradVac(GramRule):
    """Turn gradients towards each other up to their usual cosine (Wang et al., ICLR 2021, Algorithm 1).

    https://arxiv.org/abs/2010.05874. The usual cosine of each pair is a running mean with weight
    `decay` on the newest.

    >>> from polytask.balancing import GradVac, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], x[1] - x[0]], GradVac(2, decay=0.1)).weights.shared_T
    tensor([2.0000, 1.5000], dtype=torch.float64)
    """

    laws = _LINEAR
    target_TT: Tensor

    def __init__(
        self,
        num_tasks: int,
        *,
        decay: float = 1e-2,
        seed: int = 0,
        reduction: Reduction = "sum",
    ) -> None:
        super().__init__(num_tasks)
        self.decay, self.seed = decay, seed
        self.reduction: Reduction = reduction
        self.register_buffer("target_TT", torch.zeros(num_tasks, num_tasks, dtype=torch.float64))
        self.check_options()

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        pairs = (tasks_A[:, None], tasks_A)
        solved = gram.gradvac(
            gram_AA,
            target_TT=self.target_TT[pairs],
            decay=self.decay,
            seed=seed_at(self.seed, measured.step),
            reduction=self.reduction,
        )
        self.target_TT[pairs] = solved.target_TT
        return solved.weights_T


@register("cagrad")
class CAGrad(GramRule):
    """The mean gradient, bent towards the worst task (Liu et al., NeurIPS 2021, Algorithm 1).

    https://arxiv.org/abs/2110.14048. `c` is the radius around the mean gradient in units of its
    length; `rescale` divides by 1, 1 + c^2 or 1 + c. From c = 1 on no task loses.

    >>> from polytask.balancing import CAGrad, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], x[1] - x[0]], CAGrad(2, c=0.5)).weights.shared_T
    tensor([0.7500, 0.5000], dtype=torch.float64)
    """

    def __init__(
        self,
        num_tasks: int,
        *,
        c: float = 0.4,
        rescale: Literal[0, 1, 2] = 0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(num_tasks)
        self.c = c
        self.rescale: Literal[0, 1, 2] = rescale
        self.reduction: Reduction = reduction
        self.check_options()
        if c >= 1.0:
            self.laws = NEVER_AGAINST_A_TASK

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return gram.cagrad(gram_AA, c=self.c, rescale=self.rescale, reduction=self.reduction)


@register("cosine_gate")
class CosineGate(GramRule):
    """Auxiliary tasks count only while their gradient agrees with the main one (Du et al., 2018).

    https://arxiv.org/abs/1812.02224. "gate": weight 1 if the cosine is above 0, else 0; "cosine": the
    cosine itself, at least 0. `main` is the main task's place. Where the main task is absent its
    gradient cannot be asked, and no other task counts.

    >>> from polytask.balancing import CosineGate, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], x[1] - x[0]], CosineGate(2)).weights.shared_T
    tensor([1., 0.], dtype=torch.float64)
    """

    laws = _LINEAR

    def __init__(
        self, num_tasks: int, *, main: int = 0, mode: Literal["gate", "cosine"] = "gate"
    ) -> None:
        super().__init__(num_tasks)
        if mode not in ("gate", "cosine"):
            raise ValueError(f"mode must be 'gate' or 'cosine', but {mode=}")
        if not 0 <= main < num_tasks:
            raise ValueError(f"main must be the place of a task, 0 to {num_tasks - 1}, but {main=}")
        self.main, self.mode = main, mode

    def weigh(self, measured: Measurement, tasks_A: Tensor) -> Weights:
        if self.main in tasks_A.tolist():
            return super().weigh(measured, tasks_A)
        return Weights(torch.zeros_like(measured.losses_T), torch.ones_like(measured.losses_T))

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        is_main_A = tasks_A == self.main
        inner_A = gram_AA[is_main_A].squeeze(0)
        lengths_A = gram_AA.diagonal().sqrt()
        cosines_A = inner_A / (lengths_A * lengths_A[is_main_A]).clamp(min=1e-300)
        weights_A = (cosines_A > 0).double() if self.mode == "gate" else cosines_A.clamp(0, 1)
        return weights_A.masked_fill(is_main_A, 1.0)
