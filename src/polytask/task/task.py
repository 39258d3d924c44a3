"""What is to be predicted: a task is a frozen value, without parameters and without data."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from polytask.task.noise import (
    full_precision,
    noisy_binary_loss,
    noisy_multiclass_loss,
    noisy_squared_error,
)

KindName = Literal["binary", "multiclass", "regression", "count"]
Noise = Literal["constant", "learned"]

# exp() of a log rate above this overflows a float32 loss after a few additions.
_LARGEST_LOG_RATE = 60.0


@dataclass(frozen=True, slots=True)
class Kind:
    """How a task's outputs become a loss and a prediction.

    `loss` maps outputs (B, O) and labels (B,) to losses (B,), per example and unreduced;
    `link` maps outputs (B, O) to predictions (B,), or to class probabilities (B, classes).
    With `noise` learned the last output is the logarithm of a variance (see polytask.task.noise).
    """

    name: KindName
    num_outputs: int
    loss: Callable[[Tensor, Tensor], Tensor]
    link: Callable[[Tensor], Tensor]
    main_metric: str
    unit: str | None = None
    noise: Noise = "constant"


@dataclass(frozen=True, slots=True)
class Task:
    """One supervised objective.

    `target` is the label column; a missing label (NaN) does not enter the loss.
    `given` names the parent of which this binary task is a consequence (ESMM).
    An `auxiliary` task is trained on and never reported as a goal.
    """

    name: str
    target: str
    kind: Kind
    given: str | None = None
    auxiliary: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a task needs a name")
        if self.given is not None and self.kind.name != "binary":
            raise ValueError(
                f"task {self.name!r} is {self.kind.name}, but given={self.given!r} "
                "needs a binary task: the joint probability of two yes/no events"
            )
        if self.given is not None and self.kind.noise == "learned":
            raise ValueError(
                f"task {self.name!r} has given={self.given!r}, so its noise cannot be learned: the "
                "joint probability is made of one logit each"
            )


def binary(
    name: str,
    target: str | None = None,
    *,
    given: str | None = None,
    auxiliary: bool = False,
    noise: Noise = "constant",
) -> Task:
    """A yes/no task: one logit, log-loss (natural logarithm)."""
    if noise == "learned":
        kind = Kind("binary", 2, noisy_binary_loss, _binary_link, main_metric="auc", noise=noise)
    else:
        kind = Kind("binary", 1, _binary_loss, _binary_link, main_metric="auc")
    return Task(name, target or name, kind, given=given, auxiliary=auxiliary)


def multiclass(
    name: str,
    target: str | None = None,
    *,
    num_classes: int,
    auxiliary: bool = False,
    noise: Noise = "constant",
) -> Task:
    """One of several classes, labelled 0 to num_classes - 1: softmax cross-entropy."""
    if num_classes < 2:
        raise ValueError(f"task {name!r} needs two classes or more, but {num_classes=}")
    if noise == "learned":
        size, loss, link = num_classes + 1, noisy_multiclass_loss, _multiclass_mean_link
    else:
        size, loss, link = num_classes, _multiclass_loss, _multiclass_link
    kind = Kind("multiclass", size, loss, link, main_metric="macro_auc", noise=noise)
    return Task(name, target or name, kind, auxiliary=auxiliary)


def regression(
    name: str,
    target: str | None = None,
    *,
    unit: str | None = None,
    auxiliary: bool = False,
    noise: Noise = "constant",
) -> Task:
    """A real number: squared error. Labels are standardised by the data's encoder, not here."""
    size, loss = (2, noisy_squared_error) if noise == "learned" else (1, _squared_error)
    kind = Kind("regression", size, loss, _identity_link, "r2", unit=unit, noise=noise)
    return Task(name, target or name, kind, auxiliary=auxiliary)


def count(
    name: str, target: str | None = None, *, unit: str | None = None, auxiliary: bool = False
) -> Task:
    """A number of events: a log rate, and the Poisson log-loss up to the label's own log(y!)."""
    kind = Kind("count", 1, _poisson_loss, _rate_link, main_metric="xauc", unit=unit)
    return Task(name, target or name, kind, auxiliary=auxiliary)


def check_tasks(tasks: tuple[Task, ...]) -> None:
    """Raise ValueError unless names differ and each `given` names another task, without a circle."""
    parents = {task.name: task.given for task in tasks}
    if not tasks:
        raise ValueError("at least one task is needed")
    if len(parents) < len(tasks):
        raise ValueError(f"task names must differ, but they are {[task.name for task in tasks]}")
    by_name = {task.name: task for task in tasks}
    for task in tasks:
        seen = [task.name]
        parent = task.given
        while parent is not None:
            if parent not in by_name:
                raise ValueError(f"task {seen[-1]!r} is given {parent!r}, which is no task")
            kind = by_name[parent].kind
            if kind.name != "binary" or kind.noise != "constant":
                raise ValueError(
                    f"task {seen[-1]!r} is given {parent!r}, which is not binary with constant noise"
                )
            if parent in seen:
                raise ValueError(f"tasks are given each other in a circle: {[*seen, parent]}")
            seen.append(parent)
            parent = parents[parent]


def joint_logit(parent_logit: Tensor, child_logit: Tensor) -> Tensor:
    """Logit of p(parent) p(child | parent), exact at any logits.

    Source: Ma et al., SIGIR 2018 (ESMM), eq. 1, in log space.
    DIFF: log(1 - p) is the sum of the two ways not to happen, 1 - p = (1 - p_parent) +
    p_parent (1 - p_child), so nothing needs to be clamped: logits of +-120 stay finite.
    """
    parent_logit, child_logit = full_precision(parent_logit), full_precision(child_logit)
    log_parent = functional.logsigmoid(parent_logit)
    log_joint = log_parent + functional.logsigmoid(child_logit)
    log_not = torch.logaddexp(
        functional.logsigmoid(-parent_logit), log_parent + functional.logsigmoid(-child_logit)
    )
    return log_joint - log_not


def _binary_loss(outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
    logits_B = full_precision(outputs_BO).squeeze(1)
    return functional.binary_cross_entropy_with_logits(
        logits_B, labels_B.to(logits_B.dtype), reduction="none"
    )


def _binary_link(outputs_BO: Tensor) -> Tensor:
    return full_precision(outputs_BO)[:, 0].sigmoid()


def _multiclass_loss(outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
    return functional.cross_entropy(full_precision(outputs_BO), labels_B.long(), reduction="none")


def _multiclass_link(outputs_BO: Tensor) -> Tensor:
    return full_precision(outputs_BO).softmax(dim=1)


def _multiclass_mean_link(outputs_BO: Tensor) -> Tensor:
    return _multiclass_link(outputs_BO[:, :-1])


def _squared_error(outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
    return (full_precision(outputs_BO).squeeze(1) - labels_B).square()


def _identity_link(outputs_BO: Tensor) -> Tensor:
    return full_precision(outputs_BO)[:, 0]


def _poisson_loss(outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
    log_rate_B = full_precision(outputs_BO).squeeze(1).clamp(max=_LARGEST_LOG_RATE)
    return log_rate_B.exp() - labels_B * log_rate_B


def _rate_link(outputs_BO: Tensor) -> Tensor:
    return (
        full_precision(outputs_BO)
        .squeeze(1)
        .clamp(max=math.log(torch.finfo(torch.float32).max))
        .exp()
    )
