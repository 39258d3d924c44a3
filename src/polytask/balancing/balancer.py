"""The contract of every rule: measurement -> weights, with all state in buffers."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from polytask.balancing.laws import Law
from polytask.balancing.measurement import Losses, Measurement, Need, Weights


class Balancer(nn.Module, ABC):
    """Turns what a step measured into the weights of the tasks.

    All state lies in buffers that the constructor allocates, so `state_dict` of a fresh object takes
    that of any other. They stay in float64 on the host wherever the module is moved: a step decides
    about T numbers, and the decision must not depend on the model's dtype.

    A rule implements `weigh`. It is called with the present tasks only, so that an absent one
    changes nothing for the others; `tasks_A` are the places of the present tasks in the state.

    >>> from polytask.balancing import MGDA, Balancer, Measurement
    >>> gram_TT = torch.tensor([[1.0, 0.0], [0.0, 9.0]]).double()
    >>> losses_T = torch.ones(2).double()
    >>> MGDA(2)(Measurement(losses_T, losses_T > 0, gram_TT)).shared_T
    tensor([0.9000, 0.1000], dtype=torch.float64)
    """

    needs: Need
    needs_positive_losses: bool = False
    """Whether a loss below 0 is refused."""
    at_last_layer: bool = False
    """Whether to measure at the last shared layer (GradNorm)."""
    laws: frozenset[Law] = frozenset({Law.ANY_ORDER})
    """What the rule, with its options, claims; a test holds it to that."""
    degree: float = 1.0
    """How the update grows with the gradients, the losses held: d(s J) = s^degree d(J)."""
    num_steps: Tensor

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        if num_tasks < 1:
            raise ValueError(f"num_tasks must be at least 1, but {num_tasks=}")
        self.num_tasks = num_tasks
        self.register_buffer("num_steps", torch.zeros((), dtype=torch.int64))

    @property
    def rescales_at_seam(self) -> bool:
        """Whether lengths that were measured at a seam would give an update of another length."""
        return self.degree != 1.0

    def length_at_parameters(self, length: float, at_seam: float) -> float:
        """The length of the update due at the parameters, where the weights make it `length`.

        The same weights give an update of length `at_seam` at the seam. Taking the parameters'
        gradients to be length / at_seam times the seam's, the rule would have decided on weights
        that much to the power of degree - 1 times as large.
        """
        return length * math.pow(length / at_seam, self.degree - 1.0)

    def shared_scaled(self, factor: float, active_T: Tensor) -> None:
        """Hear by what the shared weights just decided on were multiplied; EveryNthStep listens."""

    @abstractmethod
    def weigh(self, measured: Measurement, tasks_A: Tensor) -> Weights:
        """The weights of the present tasks; advances the state of the rule."""

    def forward(self, measured: Measurement) -> Weights:
        """Weights of all tasks, 0 for absent ones; called once per optimizer step."""
        if measured.num_tasks != self.num_tasks:
            raise ValueError(
                f"this {type(self).__name__} was made for {self.num_tasks} tasks, "
                f"but was given {measured.num_tasks} losses"
            )
        tasks_A = measured.active_T.nonzero().squeeze(1)
        weights_WT = torch.zeros(2, self.num_tasks, dtype=torch.float64)
        if len(tasks_A):
            weights_WT[:, tasks_A] = torch.stack(self.weigh(measured.of(tasks_A), tasks_A))
        self.num_steps.add_(1)  # Last: a rule that refuses a step has not taken it.
        return Weights(*weights_WT)

    def need(self, step: int, active_T: Tensor) -> Need:
        """What the coming step must measure; never more than `needs`."""
        return self.needs

    @property
    def needs_losses_after_step(self) -> bool:
        """Whether the step just decided on waits for `after_step`, which costs a forward pass (FAMO)."""
        return False

    def after_step(self, losses: Losses) -> None:
        """Take the losses of the same batch after the optimizer's step; only FAMO listens."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return self


class Scalarization(Balancer, ABC):
    """A rule on the losses: one scalar formula, whose derivative the weights are.

    Shared and private parameters are weighed alike, and no extra backward pass is made.

    >>> from polytask.balancing import Scalarization, balanced_backward
    >>> class Squares(Scalarization):
    ...     def derivative(self, losses_A, tasks_A, measured):
    ...         return 2 * losses_A
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], 3 * x[1]], Squares(2)).weights.shared_T
    tensor([2., 6.], dtype=torch.float64)
    """

    needs = Need.LOSSES

    @abstractmethod
    def derivative(self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        """d formula / d losses of the present tasks; advances the state of the rule."""

    def weigh(self, measured: Measurement, tasks_A: Tensor) -> Weights:
        weights_A = self.derivative(measured.losses_T, tasks_A, measured)
        return Weights(weights_A, weights_A)


class GramRule(Balancer, ABC):
    """A rule on the tasks' gradients that needs only their inner products.

    With weights w the shared parameters move by J^T w; private parameters keep their own gradient.
    A single task, and tasks that share nothing, are left alone: their weight is 1.

    >>> from polytask.balancing import GramRule, balanced_backward
    >>> class UnitLength(GramRule):
    ...     def solve(self, gram_AA, tasks_A, measured):
    ...         return 1 / gram_AA.diagonal().sqrt()
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], 3 * x[1]], UnitLength(2)).weights.shared_T
    tensor([1.0000, 0.3333], dtype=torch.float64)
    """

    needs = Need.GRAM

    @abstractmethod
    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        """The shared weights of the present tasks, two or more; advances the state of the rule."""

    def check_options(self) -> None:
        """ValueError for options that `solve` refuses: it is tried on gradients that are all zero.

        To be called last in the constructor, so that each option is checked once, where it is used.
        """
        losses_T = torch.ones(self.num_tasks, dtype=torch.float64)
        gram_TT = torch.zeros(self.num_tasks, self.num_tasks, dtype=torch.float64)
        measured = Measurement(losses_T, losses_T > 0, gram_TT)
        self.solve(gram_TT, torch.arange(self.num_tasks), measured)

    def of_tasks(self, values: Sequence[float] | None, tasks_A: Tensor) -> list[float] | None:
        """An option with a number a task, for the present tasks."""
        if values is None or len(tasks_A) == self.num_tasks:
            return None if values is None else list(values)  # All of them: `gram` checks the count.
        return [values[task] for task in tasks_A.tolist()]

    def weigh(self, measured: Measurement, tasks_A: Tensor) -> Weights:
        ones_A = torch.ones_like(measured.losses_T)
        if measured.gram_TT is None or len(tasks_A) == 1:
            return Weights(ones_A, ones_A)
        return Weights(self.solve(measured.gram_TT, tasks_A, measured), ones_A)


class CoordinateRule(Balancer, ABC):
    """A rule that decides about each coordinate of the shared gradient by itself.

    >>> from polytask.balancing import CoordinateRule, balanced_backward
    >>> class Largest(CoordinateRule):
    ...     def combine(self, jacobian_AP, tasks_A, measured):
    ...         return jacobian_AP.amax(0)
    >>> x = torch.ones(2, requires_grad=True)
    >>> _ = balanced_backward([x.sum(), 3 * x[1]], Largest(2))
    >>> x.grad
    tensor([1., 3.])
    """

    needs = Need.JACOBIAN

    @abstractmethod
    def combine(self, jacobian_AP: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        """The update of the shared parameters (P,) from the present tasks' gradients."""

    def weigh(self, measured: Measurement, tasks_A: Tensor) -> Weights:
        ones_A = torch.ones_like(measured.losses_T)
        return Weights(ones_A, ones_A)


def check_balancer(balancer: object, num_tasks: int | None = None) -> None:
    """TypeError for the class or the name of a rule, or anything else that decides nothing."""
    if isinstance(balancer, Balancer):
        return
    given, made = f"a {type(balancer).__name__}", "UPGrad"
    if isinstance(balancer, type):
        given, made = f"the class {balancer.__name__}", balancer.__name__
    elif isinstance(balancer, str):
        given, made = f"the name {balancer!r}", f"BALANCERS[{balancer!r}]"
    raise TypeError(
        f"the balancer is {given}, but must be a balancer: pass one, such as "
        f"{made}(num_tasks={num_tasks or 3})"
    )
