"""The rules on the Gram matrix that keep no state: options around the functions of `gram`.

A class states the options; the function of `gram` checks them, when the class is made, and decides.
"""

from collections.abc import Sequence

from torch import Tensor

from polytask.balancing import gram
from polytask.balancing.balancer import GramRule
from polytask.balancing.gram.equalising import SingularScale
from polytask.balancing.gram.minimum_norm import EfficientSolver, Normalisation
from polytask.balancing.laws import NEVER_AGAINST_A_TASK, Law
from polytask.balancing.measurement import Measurement
from polytask.balancing.registry import register


@register("mgda")
class MGDA(GramRule):
    """The shortest convex combination of the gradients (Sener and Koltun, NeurIPS 2018, eq. 3).

    https://arxiv.org/abs/1810.04650. `normalisation` divides each gradient first: by its norm (l2),
    its loss, or both (loss+).

    >>> from polytask.balancing import MGDA, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], 3 * x[1]], MGDA(2)).weights.shared_T
    tensor([0.9000, 0.1000], dtype=torch.float64)
    """

    def __init__(self, num_tasks: int, *, normalisation: Normalisation = "none") -> None:
        super().__init__(num_tasks)
        self.normalisation: Normalisation = normalisation
        self.check_options()
        by_scale = {Law.SCALE_INVARIANT} if normalisation in ("l2", "loss") else set()
        self.laws = NEVER_AGAINST_A_TASK | by_scale
        self.degree = 0.0 if normalisation in ("l2", "loss+") else 1.0

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return gram.mgda(gram_AA, normalisation=self.normalisation, losses_T=measured.losses_T)


@register("pareto_efficient")
class ParetoEfficient(GramRule):
    """PE-LTR (Lin et al., RecSys 2019, Algorithm 2): min |sum_i w_i g_i|, w_i >= c_i, sum w = 1.

    https://doi.org/10.1145/3298689.3346998. `two_step` is the paper's relaxation and projection,
    `exact` the solution of the problem.
    DIFF: weights are used at the step that they were solved at (Algorithm 1: one step later), and
    heads are not weighed.

    >>> from polytask.balancing import ParetoEfficient, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> step = balanced_backward([x[0], 3 * x[1]], ParetoEfficient(2, lower_bounds=[0.0, 0.5]))
    >>> step.weights.shared_T
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """

    def __init__(
        self,
        num_tasks: int,
        *,
        lower_bounds: Sequence[float] | None = None,
        solver: EfficientSolver = "two_step",
    ) -> None:
        super().__init__(num_tasks)
        self.lower_bounds = lower_bounds
        self.solver: EfficientSolver = solver
        self.check_options()
        if solver == "exact" and not any(lower_bounds or ()):  # MGDA
            self.laws = NEVER_AGAINST_A_TASK

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        bounds_A = self.of_tasks(self.lower_bounds, tasks_A)
        return gram.pareto_efficient(gram_AA, lower_bounds=bounds_A, solver=self.solver)


@register("imtl_g")
class IMTLG(GramRule):
    """Equal projections of the update on all unit gradients (Liu et al., ICLR 2021, IMTL-G).

    https://openreview.net/forum?id=IMPnRXEWpvr. The weights sum to 1 and may be negative: where
    their sum before that is negative, all tasks lose.

    >>> from polytask.balancing import IMTLG, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], 3 * x[1]], IMTLG(2)).weights.shared_T
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return gram.imtl_g(gram_AA)


@register("nash_mtl")
class NashMTL(GramRule):
    """The Nash bargaining solution G w = 1 / w (Navon et al., ICML 2022, Claim 3.1).

    https://arxiv.org/abs/2202.01017. No factor on a loss changes the update, whose length is the root
    of the number of tasks; the authors clip it to 1: `NormClipped(NashMTL(3), max_norm=1.0)`.

    >>> from polytask.balancing import NashMTL, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], 3 * x[1]], NashMTL(2)).weights.shared_T
    tensor([1.0000, 0.3333], dtype=torch.float64)
    """

    laws = NEVER_AGAINST_A_TASK | {Law.SCALE_INVARIANT}
    degree = 0.0

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return gram.nash_mtl(gram_AA)


@register("fair_grad")
class FairGrad(GramRule):
    """alpha-fair utilities, G w = w^(-1/alpha) (Ban and Ji, ICML 2024); alpha = 1 is Nash-MTL.

    https://arxiv.org/abs/2402.15638. alpha = 0 is the plain sum.

    >>> from polytask.balancing import FairGrad, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], 3 * x[1]], FairGrad(2, alpha=2.0)).weights.shared_T
    tensor([1.0000, 0.2311], dtype=torch.float64)
    """

    def __init__(self, num_tasks: int, *, alpha: float = 1.0) -> None:
        super().__init__(num_tasks)
        self.alpha = alpha
        self.check_options()
        self.degree = (1.0 - alpha) / (1.0 + alpha)
        self.laws = NEVER_AGAINST_A_TASK | ({Law.SCALE_INVARIANT} if alpha == 1.0 else set())
        if alpha == 0.0:
            self.laws = frozenset({Law.ANY_ORDER, Law.LINEAR_UNDER_SCALING})

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return gram.fair_grad(gram_AA, alpha=self.alpha)


@register("aligned_mtl")
class AlignedMTL(GramRule):
    """Gradients aligned to equal singular values (Senushkin et al., CVPR 2023, Algorithm 1).

    https://arxiv.org/abs/2305.19000. `preference` weighs the aligned gradients, 1 each without it.

    >>> from polytask.balancing import AlignedMTL, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], 3 * x[1]], AlignedMTL(2)).weights.shared_T
    tensor([1.0000, 0.3333], dtype=torch.float64)
    """

    def __init__(
        self,
        num_tasks: int,
        *,
        scale: SingularScale = "min",
        preference: Sequence[float] | None = None,
    ) -> None:
        super().__init__(num_tasks)
        self.scale: SingularScale = scale
        self.preference = preference
        self.check_options()

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        preference_A = self.of_tasks(self.preference, tasks_A)
        return gram.aligned_mtl(gram_AA, scale=self.scale, preference=preference_A)


@register("upgrad")
class UPGrad(GramRule):
    """Each gradient projected so as to hurt no task, then summed (Quinton and Rey, 2024).

    https://arxiv.org/abs/2406.16232. `preference` weighs the gradients, 1 / T each without it.

    >>> from polytask.balancing import UPGrad, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], x[1] - x[0]], UPGrad(2)).weights.shared_T
    tensor([1.0000, 0.7500], dtype=torch.float64)
    """

    laws = frozenset({Law.ANY_ORDER, Law.NON_CONFLICTING, Law.LINEAR_UNDER_SCALING})

    def __init__(self, num_tasks: int, *, preference: Sequence[float] | None = None) -> None:
        super().__init__(num_tasks)
        self.preference = preference
        self.check_options()
        # A task that is preferred by nothing is not hurt, but need not gain.
        if preference is None or all(share > 0.0 for share in preference):
            self.laws |= {Law.DESCENDS_FOR_ALL}

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return gram.upgrad(gram_AA, preference=self.of_tasks(self.preference, tasks_A))


@register("dual_proj")
class DualProj(GramRule):
    """The mean gradient projected so as to hurt no task (Lopez-Paz and Ranzato, NeurIPS 2017, eq. 8).

    https://arxiv.org/abs/1706.08840. `preference` weighs the gradients in the mean, 1 / T each
    without it.

    >>> from polytask.balancing import DualProj, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], x[1] - 3 * x[0]], DualProj(2)).weights.shared_T
    tensor([1.5000, 0.5000], dtype=torch.float64)
    """

    laws = frozenset({Law.ANY_ORDER, Law.NON_CONFLICTING})

    def __init__(self, num_tasks: int, *, preference: Sequence[float] | None = None) -> None:
        super().__init__(num_tasks)
        self.preference = preference
        self.check_options()

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return gram.dual_proj(gram_AA, preference=self.of_tasks(self.preference, tasks_A))


@register("config")
class ConFIG(GramRule):
    """Equal cosines with all gradients (Liu et al., ICLR 2025, ConFIG).

    https://arxiv.org/abs/2408.11104. It hurts no task where the gradients are independent.

    >>> from polytask.balancing import ConFIG, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], 3 * x[1]], ConFIG(2)).weights.shared_T
    tensor([2.0000, 0.6667], dtype=torch.float64)
    """

    laws = frozenset({Law.ANY_ORDER, Law.LINEAR_UNDER_SCALING})

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return gram.config(gram_AA)
