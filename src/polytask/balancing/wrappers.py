"""Balancers around balancers: smoothing, clipping, seldom measuring, and a rule on top of a rule."""

from abc import ABC
from dataclasses import replace

import torch
from torch import Tensor

from polytask.balancing.balancer import Balancer, CoordinateRule, check_balancer
from polytask.balancing.laws import Law
from polytask.balancing.measurement import Losses, Measurement, Need, Weights
from polytask.balancing.registry import register


class Wrapper(Balancer, ABC):
    """Changes what another rule decides. TypeError for a rule per coordinate: it has no weights.

    >>> from polytask.balancing import NashMTL, Smoothed, Wrapper
    >>> isinstance(Smoothed(NashMTL(2)), Wrapper), Smoothed(NashMTL(2)).needs.name
    (True, 'GRAM')
    """

    def __init__(self, inner: Balancer) -> None:
        check_balancer(inner)
        if isinstance(inner, CoordinateRule):
            raise TypeError(
                f"{type(self).__name__} changes the weights of a rule, but {type(inner).__name__} "
                "decides coordinate by coordinate and has none: use it unwrapped"
            )
        super().__init__(inner.num_tasks)
        self.inner = inner
        self.needs = inner.needs
        self.at_last_layer = inner.at_last_layer
        self.degree = inner.degree
        # Weights of earlier steps know nothing of this step's gradients.
        self.laws = inner.laws & {Law.ANY_ORDER, Law.LINEAR_UNDER_SCALING}

    @property
    def rescales_at_seam(self) -> bool:
        return self.inner.rescales_at_seam

    def length_at_parameters(self, length: float, at_seam: float) -> float:
        return self.inner.length_at_parameters(length, at_seam)

    def shared_scaled(self, factor: float, active_T: Tensor) -> None:
        self.inner.shared_scaled(factor, active_T)

    def need(self, step: int, active_T: Tensor) -> Need:
        return self.inner.need(step, active_T)

    @property
    def needs_losses_after_step(self) -> bool:
        return self.inner.needs_losses_after_step

    def after_step(self, losses: Losses) -> None:
        self.inner.after_step(losses)


@register("smoothed")
class Smoothed(Wrapper):
    """w <- decay w + (1 - decay) new (Zhou et al., NeurIPS 2022, CR-MOGM).

    https://papers.neurips.cc/paper_files/paper/2022/hash/f91bd64a3620aad8e70a27ad9cb3ca57-Abstract-Conference.html

    DIFF: a task's first weight is taken as it is; the paper starts from equal weights.

    >>> from polytask.balancing import MGDA, Smoothed, balanced_backward
    >>> x, rule = torch.ones(2, requires_grad=True), Smoothed(MGDA(2), decay=0.5)
    >>> _ = balanced_backward([x[0], 3 * x[1]], rule)
    >>> balanced_backward([x[0], x[1]], rule).weights.shared_T
    tensor([0.7000, 0.3000], dtype=torch.float64)
    """

    smoothed_WT: Tensor

    def __init__(self, inner: Balancer, *, decay: float = 0.9) -> None:
        super().__init__(inner)
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), but {decay=}")
        self.decay = decay
        nothing_WT = torch.full((2, self.num_tasks), torch.nan, dtype=torch.float64)
        self.register_buffer("smoothed_WT", nothing_WT)

    def weigh(self, measured: Measurement, tasks_A: Tensor) -> Weights:
        new_WA = torch.stack(self.inner.weigh(measured, tasks_A))
        old_WA = self.smoothed_WT[:, tasks_A]
        old_WA = torch.where(old_WA.isnan(), new_WA, old_WA)
        self.smoothed_WT[:, tasks_A] = self.decay * old_WA + (1 - self.decay) * new_WA
        return Weights(*self.smoothed_WT[:, tasks_A])


@register("norm_clipped")
class NormClipped(Wrapper):
    """Scales the shared weights down so that the shared update is no longer than `max_norm`.

    The length is that of what is measured, sqrt(w^T G w); of the parameters' gradient where that is
    done at a seam. Private weights stay. A rule on the losses is measured too then; a single present
    task is not.

    >>> from polytask.balancing import NashMTL, NormClipped, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> _ = balanced_backward([x[0], 3 * x[1]], NormClipped(NashMTL(2), max_norm=1.0))
    >>> round(x.grad.norm().item(), 6)
    1.0
    """

    def __init__(self, inner: Balancer, *, max_norm: float = 1.0) -> None:
        super().__init__(inner)
        if max_norm <= 0:
            raise ValueError(f"max_norm must be above 0, but {max_norm=}")
        self.max_norm = max_norm
        self.needs = max(inner.needs, Need.GRAM)
        self.laws = inner.laws - {Law.LINEAR_UNDER_SCALING}

    def need(self, step: int, active_T: Tensor) -> Need:
        return self.needs

    @property
    def rescales_at_seam(self) -> bool:
        return True

    def length_at_parameters(self, length: float, at_seam: float) -> float:
        return min(self.inner.length_at_parameters(length, at_seam), self.max_norm)

    def weigh(self, measured: Measurement, tasks_A: Tensor) -> Weights:
        weights = self.inner.weigh(measured, tasks_A)
        if measured.gram_TT is None or measured.at_seam:
            return weights
        shared_A = weights.shared_T
        length = (shared_A @ measured.gram_TT @ shared_A).clamp(min=0).sqrt()
        scale = (self.max_norm / length).clamp(max=1.0) if length > 0 else torch.ones(())
        return Weights(shared_A * scale, weights.private_T)


@register("every_nth_step")
class EveryNthStep(Wrapper):
    """Measures and decides every `interval` steps, and keeps the weights in between.

    The steps in between cost one backward pass through what is shared. A task that had no weight
    yet makes the rule decide at once.

    >>> from polytask.balancing import MGDA, EveryNthStep, balanced_backward
    >>> x, rule = torch.ones(2, requires_grad=True), EveryNthStep(MGDA(2), interval=2)
    >>> _ = balanced_backward([x[0], 3 * x[1]], rule)
    >>> balanced_backward([x[0], x[1]], rule).weights.shared_T  # kept
    tensor([0.9000, 0.1000], dtype=torch.float64)
    """

    weights_WT: Tensor

    def __init__(self, inner: Balancer, *, interval: int) -> None:
        super().__init__(inner)
        if interval < 1:
            raise ValueError(f"interval must be at least 1, but {interval=}")
        self.interval = interval
        self.decides_now = True
        nothing_WT = torch.full((2, self.num_tasks), torch.nan, dtype=torch.float64)
        self.register_buffer("weights_WT", nothing_WT)

    def need(self, step: int, active_T: Tensor) -> Need:
        is_due = self._is_due(step, active_T.nonzero().squeeze(1))
        return self.inner.need(step, active_T) if is_due else Need.LOSSES

    def weigh(self, measured: Measurement, tasks_A: Tensor) -> Weights:
        self.decides_now = self._is_due(measured.step, tasks_A)
        if self.decides_now:
            self.weights_WT[:, tasks_A] = torch.stack(self.inner.weigh(measured, tasks_A))
        return Weights(*self.weights_WT[:, tasks_A])

    def length_at_parameters(self, length: float, at_seam: float) -> float:
        # Kept weights were brought to the parameters' lengths when they were decided on.
        return self.inner.length_at_parameters(length, at_seam) if self.decides_now else length

    def shared_scaled(self, factor: float, active_T: Tensor) -> None:
        self.weights_WT[0, active_T] *= factor

    def _is_due(self, step: int, tasks_A: Tensor) -> bool:
        return step % self.interval == 0 or bool(self.weights_WT[0, tasks_A].isnan().any())


@register("combined")
class Combined(Balancer):
    """A rule on the losses, and a rule on the gradients of the losses so weighed.

    With v from the first and u from the second, which sees the gradients v_i g_i, the shared weights
    are u v and the private ones v.

    >>> from polytask.balancing import MGDA, Combined, ScaleInvariant, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> step = balanced_backward([x[0], 3 * x[1]], Combined(ScaleInvariant(2), MGDA(2)))
    >>> step.weights.shared_T, step.weights.private_T
    (tensor([0.5000, 0.1667], dtype=torch.float64), tensor([1.0000, 0.3333], dtype=torch.float64))
    """

    def __init__(self, loss_rule: Balancer, gradient_rule: Balancer) -> None:
        check_balancer(loss_rule)
        check_balancer(gradient_rule)
        if loss_rule.needs != Need.LOSSES or gradient_rule.needs != Need.GRAM:
            raise TypeError(
                "Combined needs a rule on the losses, then a rule on the Gram matrix, but got "
                f"{type(loss_rule).__name__} and {type(gradient_rule).__name__}"
            )
        if gradient_rule.at_last_layer:
            raise TypeError(f"{type(gradient_rule).__name__} weighs losses itself: use it alone")
        if loss_rule.num_tasks != gradient_rule.num_tasks:
            raise ValueError(f"{loss_rule.num_tasks=} and {gradient_rule.num_tasks=} must be equal")
        super().__init__(loss_rule.num_tasks)
        self.loss_rule, self.gradient_rule = loss_rule, gradient_rule
        self.needs = Need.GRAM
        self.degree = gradient_rule.degree
        # The weighed gradients v_i g_i, v_i > 0, agree and conflict as the g_i do.
        of_gradients = {Law.NON_CONFLICTING, Law.DESCENDS_FOR_ALL}
        in_any_order = loss_rule.laws & {Law.ANY_ORDER}
        self.laws = gradient_rule.laws & (in_any_order | of_gradients)

    def need(self, step: int, active_T: Tensor) -> Need:
        return self.gradient_rule.need(step, active_T)

    def weigh(self, measured: Measurement, tasks_A: Tensor) -> Weights:
        private_A = self.loss_rule.weigh(measured, tasks_A).private_T
        gram_AA = measured.gram_TT
        if gram_AA is not None:
            gram_AA = gram_AA * private_A[:, None] * private_A
        weighed = replace(measured, losses_T=private_A * measured.losses_T, gram_TT=gram_AA)
        return Weights(self.gradient_rule.weigh(weighed, tasks_A).shared_T * private_A, private_A)

    @property
    def needs_losses_after_step(self) -> bool:
        return self.loss_rule.needs_losses_after_step

    def after_step(self, losses: Losses) -> None:
        self.loss_rule.after_step(losses)
