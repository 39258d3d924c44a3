"""What is to be predicted: a task is a frozen value, without parameters and without data."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from polytask.kinds import Binary, Count, Kind, Multiclass, Noise, Quantile, Regression
from polytask.kinds.noise import full_precision
from polytask.kinds.scale import Transform


@dataclass(frozen=True, slots=True)
class Task:
    """One supervised objective.

    `column` is that of the label; a missing label does not enter the loss.
    `given` names the parent of which this binary task is a consequence (ESMM).
    An `auxiliary` task is trained on and never reported as a goal.

    >>> Task("watch", "watch_seconds", Regression(transform="log1p", unit="s")).kind.num_outputs
    1
    """

    name: str
    column: str
    kind: Kind
    given: str | None = None
    auxiliary: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a task needs a name")
        if self.given is not None and not self.kind.has_one_logit:
            raise ValueError(
                f"task {self.name!r} is {self.kind.name}, but given={self.given!r} needs a binary "
                "task without learned noise: the joint probability is made of one logit each"
            )

    @property
    def what(self) -> str:
        """How errors name it."""
        return f"task {self.name!r} (column {self.column!r})"


def binary(
    name: str,
    column: str | None = None,
    *,
    positive: str | None = None,
    given: str | None = None,
    auxiliary: bool = False,
    noise: Noise = "constant",
) -> Task:
    """A yes/no task: see `Binary`."""
    kind = Binary(positive=positive, noise=noise)
    return Task(name, column or name, kind, given=given, auxiliary=auxiliary)


def multiclass(
    name: str,
    column: str | None = None,
    *,
    num_classes: int | None = None,
    auxiliary: bool = False,
    noise: Noise = "constant",
) -> Task:
    """One of several classes, labelled 0 to num_classes - 1, or those of the training rows: see
    `Multiclass`."""
    if num_classes is not None and num_classes < 2:
        raise ValueError(f"task {name!r} needs two classes or more, but {num_classes=}")
    kind = Multiclass(classes=tuple(range(num_classes or 0)), noise=noise)
    return Task(name, column or name, kind, auxiliary=auxiliary)


def regression(
    name: str,
    column: str | None = None,
    *,
    transform: Transform | None = None,
    unit: str | None = None,
    auxiliary: bool = False,
    noise: Noise = "constant",
    smearing: bool = True,
) -> Task:
    """A real number: see `Regression`."""
    kind = Regression(transform=transform, unit=unit, noise=noise, smearing=smearing)
    return Task(name, column or name, kind, auxiliary=auxiliary)


def count(
    name: str, column: str | None = None, *, unit: str | None = None, auxiliary: bool = False
) -> Task:
    """A number of events: see `Count`."""
    return Task(name, column or name, Count(unit=unit), auxiliary=auxiliary)


def quantile(
    name: str,
    column: str | None = None,
    *,
    levels: tuple[float, ...] = (0.1, 0.5, 0.9),
    transform: Transform | None = None,
    unit: str | None = None,
    auxiliary: bool = False,
) -> Task:
    """Several quantiles of a quantity: see `Quantile`."""
    kind = Quantile(levels=levels, transform=transform, unit=unit)
    return Task(name, column or name, kind, auxiliary=auxiliary)


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
            if not by_name[parent].kind.has_one_logit:
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

    >>> joint_logit(torch.zeros(1), torch.zeros(1)).sigmoid().tolist()
    [0.25]
    """
    parent_logit, child_logit = full_precision(parent_logit), full_precision(child_logit)
    log_parent = functional.logsigmoid(parent_logit)
    log_joint = log_parent + functional.logsigmoid(child_logit)
    log_not = torch.logaddexp(
        functional.logsigmoid(-parent_logit), log_parent + functional.logsigmoid(-child_logit)
    )
    return log_joint - log_not
