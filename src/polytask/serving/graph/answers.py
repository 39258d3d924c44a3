"""A task's predictions as columns of a graph: what `Kind.named_predictions` names, as tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from polytask.errors import UserError
from polytask.kinds import Binary, Count, Kind, Multiclass, Quantile, Regression
from polytask.serving.contract import Answer
from polytask.serving.graph.values import DType
from polytask.task import Task

_PROBABILITY = {"absolute": 1e-6, "relative": 1e-5}
_OF_DEVIATIONS, _OF_SIZE = 1e-5, 1e-4


@dataclass(frozen=True, slots=True)
class Made:
    """A column of answers: entry `place` of a task's predictions (B, C), or the class with the largest."""

    answer: Answer
    place: int | None = None
    classes: tuple[bool, ...] | tuple[int, ...] | tuple[str, ...] = ()

    @property
    def dtype(self) -> DType:
        """The type of its classes."""
        if self.answer.holds == "texts":
            return "string"
        return "bool" if self.answer.holds == "booleans" else "int64"


def _of_one(task: Task, kind: Kind) -> list[Made]:
    return [Made(Answer(task.name, task.name, "numbers", **_tolerance(kind)))]


def _of_classes(task: Task, kind: Kind) -> list[Made]:
    assert isinstance(kind, Multiclass)
    example = kind.classes[0]
    holds: Literal["texts", "integers", "booleans"] = "integers"
    if isinstance(example, str):
        holds = "texts"
    elif isinstance(example, bool):
        holds = "booleans"
    chances = [
        Made(Answer(f"{task.name}_p_{label}", task.name, "numbers", **_PROBABILITY), place)
        for place, label in enumerate(kind.classes)
    ]
    return [Made(Answer(task.name, task.name, holds), classes=kind.classes), *chances]


def _of_quantiles(task: Task, kind: Kind) -> list[Made]:
    assert isinstance(kind, Quantile)
    # The names, and of which level each is, by predictions that say it.
    probe = torch.arange(len(kind.levels), dtype=torch.float64)[None].numpy()
    return [
        Made(Answer(name, task.name, "numbers", **_tolerance(kind)), int(values[0]))
        for name, values in kind.named_predictions(task.name, probe).items()
    ]


_WAYS: Mapping[type[Kind], Callable[[Task, Kind], list[Made]]] = {
    Binary: _of_one,
    Regression: _of_one,
    Count: _of_one,
    Multiclass: _of_classes,
    Quantile: _of_quantiles,
}


def answers_of(task: Task) -> list[Made]:
    """The columns of a task's predictions; UserError for a kind whose columns are not known here."""
    way = _WAYS.get(type(task.kind))
    if way is None and type(task.kind).named_predictions is Kind.named_predictions:
        way = _of_one
    if way is None:
        raise UserError(
            f"{task.what} is of kind {task.kind.name!r}, whose predictions are no columns of numbers or "
            "classes: a graph is made of runs without such tasks"
        )
    return way(task, task.kind)


def _tolerance(kind: Kind) -> dict[str, float]:
    """How far answers of other machines may lie apart."""
    if isinstance(kind, Binary):
        return _PROBABILITY
    transform = getattr(kind, "transform", None)
    std = getattr(kind, "std", 1.0)
    if transform is not None or not isinstance(std, float):
        return {"absolute": _OF_SIZE, "relative": _OF_SIZE}
    return {"absolute": _OF_DEVIATIONS * std, "relative": _OF_DEVIATIONS}


class InDouble(nn.Module):
    """A module whose outputs are float64 from here on: links and joint probabilities lose nothing."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, h_BH: Tensor) -> Tensor:
        output: Tensor = self.module(h_BH)
        return output.double()
