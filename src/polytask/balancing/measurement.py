"""What a step knows (`Measurement`), what was decided (`Weights`), and the record of both (`Step`)."""

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self, TypeAlias

import torch
from torch import Tensor

Losses: TypeAlias = Sequence[Tensor | None]
"""One scalar a task, None for a task that is absent."""

STACKED = (
    "the losses were stacked (or their predictions were), so that every loss seems to "
    "reach every head; keep predictions and losses apart: a list with one tensor a task"
)


class Need(enum.IntEnum):
    """What a rule must be given; decided before anything runs, since it fixes the backward passes.

    >>> from polytask.balancing import NashMTL, Need
    >>> NashMTL(2).needs is Need.GRAM, Need.LOSSES < Need.GRAM
    (True, True)
    """

    LOSSES = 0
    GRAM = 1
    JACOBIAN = 2


class Weights(NamedTuple):
    """The weights of a step, float64 on the host; 0 for absent tasks.

    `shared_T` weighs each task's gradient where tasks share, `private_T` where a task is alone.

    >>> from polytask.balancing import Equal, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> balanced_backward([x[0], x[1]], Equal(2)).weights
    Weights(shared_T=tensor([1., 1.], dtype=torch.float64), private_T=tensor([1., 1.], dtype=torch.float64))
    """

    shared_T: Tensor
    private_T: Tensor


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one step knows, all of it detached.

    Losses and the Gram matrix are float64 on the host. Absent tasks have a NaN loss and zeros in the
    Gram matrix. Without a Gram matrix nothing is shared, or the rule did not ask for one.
    `step` counts the steps of the balancer from 0, `epoch` is the caller's, if given. `at_seam`:
    whether the Gram matrix is of gradients at a seam, whose lengths are not those at the parameters.

    >>> from polytask.balancing import Measurement
    >>> losses_T = torch.tensor([1.0, float("nan"), 2.0])
    >>> measured = Measurement(losses_T, ~losses_T.isnan())
    >>> measured.of(torch.tensor([0, 2])).losses_T
    tensor([1., 2.])
    """

    losses_T: Tensor
    active_T: Tensor
    gram_TT: Tensor | None = None
    step: int = 0
    epoch: int | None = None
    at_seam: bool = False

    def __post_init__(self) -> None:
        if self.losses_T.ndim != 1 or self.losses_T.shape != self.active_T.shape:
            raise ValueError(
                "losses_T and active_T must be vectors of one length, "
                f"but {self.losses_T.shape=} and {self.active_T.shape=}"
            )

    @property
    def num_tasks(self) -> int:
        return len(self.losses_T)

    def of(self, tasks_A: Tensor) -> Self:
        """The same measurement with only the given tasks in it, as if the others did not exist."""
        if len(tasks_A) == self.num_tasks:
            return self
        return replace(
            self,
            losses_T=self.losses_T[tasks_A],
            active_T=self.active_T[tasks_A],
            gram_TT=None if self.gram_TT is None else self.gram_TT[tasks_A][:, tasks_A],
        )


@dataclass(frozen=True, slots=True)
class Step:
    """The record of a step: what was measured and what was decided.

    What is derived from the Gram matrix is None where nothing was measured, and NaN where a task is
    absent or its gradient is zero. Pairs are pairs of two different tasks.

    >>> from polytask.balancing import UPGrad, balanced_backward
    >>> x = torch.ones(2, requires_grad=True)
    >>> step = balanced_backward([x[0], x[1] - x[0]], UPGrad(2))
    >>> step.conflict_rate, step.norms_T
    (1.0, tensor([1.0000, 1.4142], dtype=torch.float64))
    """

    losses_T: Tensor
    weights: Weights
    active_T: Tensor
    gram_TT: Tensor | None = None

    @property
    def norms_T(self) -> Tensor | None:
        """Lengths of the tasks' gradients where they were measured, before any weight."""
        if self.gram_TT is None:
            return None
        return self.gram_TT.diagonal().sqrt().masked_fill(~self.active_T, torch.nan)

    @property
    def cosines_TT(self) -> Tensor | None:
        """Cosines between the tasks' gradients."""
        if self.gram_TT is None or self.norms_T is None:
            return None
        return self.gram_TT / self.norms_T[:, None] / self.norms_T

    @property
    def conflict_rate(self) -> float | None:
        """The share of pairs whose gradients have a negative cosine (Yu et al., NeurIPS 2020).

        https://arxiv.org/abs/2001.06782
        """
        if self.cosines_TT is None:
            return None
        num_tasks = len(self.losses_T)
        first, second = torch.triu_indices(num_tasks, num_tasks, offset=1)
        pairs = self.cosines_TT[first, second]
        return float((pairs[~pairs.isnan()] < 0).double().mean())


def check_losses(losses: object) -> None:
    """Raise unless each loss is a scalar with a graph of its own, or None; names the task by its place.

    TypeError for what is no list, or for a loss that is no tensor; ValueError for other shapes, for a
    constant, and for losses that were stacked.
    """
    if isinstance(losses, Tensor) or not isinstance(losses, Sequence):
        given = f"a {type(losses).__name__}"
        if isinstance(losses, Tensor):
            given = f"one tensor of shape {tuple(losses.shape)}"
        advice = "list(losses.values())" if isinstance(losses, Mapping) else "[loss_a, loss_b]"
        raise TypeError(
            f"losses is {given}: pass a list with one scalar a task, neither summed nor stacked, None "
            f"for a task without a label in the batch, such as {advice}"
        )
    if not losses:
        raise ValueError("there are no losses: pass a list with one scalar a task")
    for task, loss in enumerate(losses):
        if loss is not None:
            _check_differentiable_scalar(loss, f"the loss of task {task}")
            if loss.grad_fn is not None and loss.grad_fn.name().startswith("Unbind"):
                raise ValueError(STACKED)


class NotFiniteError(ValueError):
    """Losses of `tasks`, by their places, or the penalty where there are none, are not finite."""

    def __init__(self, message: str, tasks: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.tasks = tasks


def read_losses(losses: Losses, penalty: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Values and presence of the losses: `losses_T` (float64, host, NaN if absent) and `active_T`.

    Raises NotFiniteError, naming the tasks by their places, for losses that are not finite, and for
    such a penalty, which is read in the same transfer.
    """
    *values, added = read_scalars([*losses, penalty])
    present = [task for task, loss in enumerate(losses) if loss is not None]
    bad = tuple(task for task in present if not math.isfinite(values[task]))
    if bad:
        raise NotFiniteError(
            f"the loss of task {bad[0]} is {values[bad[0]]}: nothing was written to .grad; "
            "look at this batch's inputs and labels, or lower the learning rate",
            bad,
        )
    if penalty is not None and not math.isfinite(added):
        raise NotFiniteError(f"the penalty is {added}: nothing was written to .grad")
    active_T = torch.tensor([loss is not None for loss in losses], dtype=torch.bool)
    return torch.tensor(values, dtype=torch.float64), active_T


def read_scalars(scalars: Losses) -> list[float]:
    """The values, NaN where there is none; from an accelerator in one transfer."""
    present = [scalar.detach() for scalar in scalars if scalar is not None]
    devices = {scalar.device for scalar in present}
    if len(devices) == 1 and next(iter(devices)).type != "cpu":
        present = list(torch.stack([scalar.reshape(()) for scalar in present]).cpu())
    values = iter([scalar.item() for scalar in present])
    return [math.nan if scalar is None else next(values) for scalar in scalars]


def check_penalty(penalty: Tensor | None) -> Tensor | None:
    """The penalty if there is anything to differentiate; raises ValueError if it is no scalar."""
    if penalty is None or not penalty.requires_grad:
        return None
    _check_differentiable_scalar(penalty, "the penalty")
    return penalty


def _check_differentiable_scalar(loss: object, name: str) -> None:
    if not isinstance(loss, Tensor):
        raise TypeError(f"{name} is a {type(loss).__name__}: pass the tensor, not its value")
    if loss.numel() != 1:
        raise ValueError(
            f"{name} must be a scalar, but its shape is {tuple(loss.shape)}: reduce it"
        )
    if not loss.requires_grad:
        raise ValueError(
            f"{name} depends on no parameter that requires a gradient; "
            "if the task has no label in this batch, pass None in its place"
        )
