"""AuxiliaryLoss: an objective that knows how far training has come."""

import torch
from torch import Tensor

from polytask.auxiliary.auxiliary import Auxiliary
from polytask.auxiliary.weighing import Schedule
from polytask.model.objective import Objective


class AuxiliaryLoss(Objective):
    """The loss of an auxiliary, weighed by its number or schedule, or by the balancer.

    `advance` counts the optimizer's steps, also those whose batch had no row for this loss.
    """

    def __init__(self, auxiliary: Auxiliary, *, num_steps: int) -> None:
        super().__init__(auxiliary.name, is_weighed=auxiliary.is_balanced)
        self.weight = auxiliary.weight
        self.num_steps = num_steps
        self.step: Tensor
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @property
    def progress(self) -> float:
        """What part of training is done, from 0 to 1."""
        return min(int(self.step) / max(self.num_steps, 1), 1.0)

    def weight_now(self) -> float:
        if isinstance(self.weight, Schedule):
            return self.weight.at(self.progress)
        return self.weight if isinstance(self.weight, int | float) else 1.0

    def advance(self) -> None:
        self.step += 1
