"""Auxiliary: an extra loss, made of what is there already, that is trained on for the goals' sake."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

import pyarrow as pa
import torch
from torch import Tensor

from polytask.auxiliary.weighing import Schedule, Weight, weight_of
from polytask.errors import UserError
from polytask.inputs import FittedInputs
from polytask.model.objective import Objective
from polytask.model.outputs import Outputs
from polytask.streams import Stream


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """What an auxiliary is made of: the training rows as they were read, and as they were encoded.

    `set_rows` are those of each data set, where there are several.
    """

    table: pa.Table
    inputs: FittedInputs
    encoded: Mapping[str, Tensor]
    set_rows: Mapping[str, range] = field(default_factory=dict)


@dataclass(frozen=True)
class Auxiliary(ABC):
    """Facts of the training rows; from these, labels, rows and a loss for every step.

    Subclasses are final frozen dataclasses; options are keyword arguments of `fit` with defaults.
    """

    name: ClassVar[str]
    reads: ClassVar[Literal["features", "shared", "both"]] = "features"
    """The mean of all tasks' features; what is shared of them; or what is shared and what is private."""

    suits_words: ClassVar[bool] = False
    """Whether it has a loss where the trunk's features are of words."""

    weight: Weight | Schedule

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", weight_of(self.name, self.weight))

    @classmethod
    @abstractmethod
    def fit(cls, rows: TrainingRows, *, weight: Weight = 0.1) -> Self:
        """What the training rows say; UserError where they do not allow it."""

    def labels(self, rows: TrainingRows) -> Mapping[str, Tensor]:
        """Labels of the training rows, (B,) or (B, ...), by name; none by default."""
        return {}

    def extend(self, stream: Stream) -> Stream:
        """The stream with what the loss needs: further rows or labels. By default it needs none."""
        return stream

    @abstractmethod
    def objective(self, num_features: int, *, num_steps: int) -> Objective:
        """A fresh loss on `num_features` features, in a training of `num_steps`.

        These are `mean_features` (B, H), or `result.shared` where it `reads` what is shared.
        """

    @property
    def chance(self) -> float | None:
        """The accuracy of always saying the most frequent, where it is judged by accuracy."""
        return None

    @property
    def is_balanced(self) -> bool:
        return self.weight == "balanced"


def mean_features(result: Outputs) -> Tensor:
    """The mean of what the trunk made for each task (B, H): an auxiliary loss reads all of them."""
    return torch.stack(result.features).mean(dim=0)


def require_share(name: str, value: float) -> None:
    """UserError unless the value is above 0 and at most 1."""
    if not 0 < value <= 1:
        raise UserError(f"{name} must be above 0 and at most 1, but it is {value}")
