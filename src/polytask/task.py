"""What is to be predicted: a task is a frozen value, without parameters and without data."""

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Annotated

import torch
from pydantic import PlainSerializer, PlainValidator
from torch import Tensor
from torch.nn import functional

from polytask.errors import UserError, nearest
from polytask.kinds import (
    Binary,
    Count,
    Kind,
    Multiclass,
    Noise,
    Quantile,
    Regression,
    Tags,
    kind_from_record,
    kind_to_record,
)
from polytask.kinds.noise import full_precision
from polytask.kinds.reading import Transform


@dataclass(frozen=True, slots=True)
class Task:
    """One supervised objective.

    `column` is that of the label; a missing label does not enter the loss.
    `given` names the parent of which this binary task is a consequence (ESMM).
    An `auxiliary` task is trained on and never reported as a goal.
    A task `per_word` has a label for each word of a row; fitting finds that out of its column.

    >>> Task("watch", "watch_seconds", Regression(transform="log1p", unit="s")).kind.num_outputs
    1
    """

    name: str
    column: str
    kind: Annotated[Kind, PlainSerializer(kind_to_record), PlainValidator(kind_from_record)]
    given: str | None = None
    auxiliary: bool = False
    per_word: bool = False

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


def tags(
    name: str,
    column: str | None = None,
    *,
    classes: tuple[str, ...] = (),
    auxiliary: bool = False,
) -> Task:
    """One of several classes for each word of a row: see `Tags`."""
    return Task(name, column or name, Tags(classes=classes), auxiliary=auxiliary, per_word=True)


def parents_first(tasks: Sequence[Task]) -> list[int]:
    """Positions of the tasks such that each comes after the one that it is given.

    UserError unless names differ and each `given` names another, binary task, without a circle.

    >>> parents_first([binary("buy", given="click"), binary("click")])
    [1, 0]
    """
    position = {task.name: index for index, task in enumerate(tasks)}
    if not tasks:
        raise UserError("at least one task is needed")
    if len(position) < len(tasks):
        raise UserError(f"task names must differ, but they are {[task.name for task in tasks]}")
    for task in tasks:
        if task.given is not None and task.given not in position:
            hint = nearest(task.given, position)
            raise UserError(f"task {task.name!r} is given {task.given!r}, which is no task{hint}")
        if task.given is not None and not tasks[position[task.given]].kind.has_one_logit:
            raise UserError(
                f"task {task.name!r} is given {task.given!r}, which is not binary with constant noise"
            )
    parents = {task.name: [] if task.given is None else [task.given] for task in tasks}
    try:
        return [position[name] for name in TopologicalSorter(parents).static_order()]
    except CycleError as error:
        raise UserError(f"tasks are given each other in a circle: {error.args[1]}") from None


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
