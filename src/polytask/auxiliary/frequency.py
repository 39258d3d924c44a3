"""How often does this value occur? The distribution of the data as a task."""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.auxiliary.auxiliary import Auxiliary, TrainingRows, mean_features
from polytask.auxiliary.encoded_columns import EncodedColumn, encoded_columns
from polytask.auxiliary.loss import AuxiliaryLoss
from polytask.auxiliary.weighing import Weight
from polytask.errors import UserError
from polytask.model.objective import Objective
from polytask.model.outputs import Outputs
from polytask.streams import Batch


@dataclass(frozen=True)
class Frequency(Auxiliary):
    """The bin int(log(count)) of a category, counted in the training rows, is to be predicted.

    A row's representation then says whether its value is common or rare, which helps rare ones.

    Source: the FREQBIN auxiliary loss (Plank, Soegaard and Goldberg, ACL 2016, section 3).

    Paper: https://arxiv.org/abs/1604.05529
    """

    name: ClassVar[str] = "frequency"

    column: EncodedColumn
    bins: tuple[int, ...]

    @classmethod
    def fit(cls, rows: TrainingRows, *, weight: Weight = 0.1, column: str = "") -> Self:
        """`column` is a category among the inputs.

        UserErrors: it is none, or all of its values are equally frequent.
        """
        if not column:
            raise UserError("frequency needs a column: {name: frequency, column: video_id}")
        (found,) = encoded_columns(rows.inputs, [column])
        if not found.num_ids:
            raise UserError(
                f"frequency: {column!r} is read as a number: --categorical makes it one"
            )
        counts = torch.bincount(found.values(rows.encoded), minlength=found.num_ids)
        bins = counts.clamp(min=1).double().log().floor().int()
        if len(set(bins[counts > 0].tolist())) < 2:
            raise UserError(f"frequency: all values of {column!r} are equally frequent")
        return cls(weight, found, tuple(bins.tolist()))

    def objective(self, num_features: int, *, num_steps: int) -> Objective:
        return _FrequencyBin(self, num_features, num_steps)


class _FrequencyBin(AuxiliaryLoss):
    """Cross-entropy of the bin of each row's value."""

    def __init__(self, auxiliary: Frequency, num_features: int, num_steps: int) -> None:
        super().__init__(auxiliary, num_steps=num_steps)
        self.column = auxiliary.column
        self.bins: Tensor
        self.register_buffer("bins", torch.tensor(auxiliary.bins), persistent=False)
        self.head = nn.Linear(num_features, max(auxiliary.bins) + 1)

    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        bins_B = self.bins[self.column.values(batch.inputs)].long()
        logits_BK = self.head(mean_features(result))
        return functional.cross_entropy(logits_BK, bins_B, reduction="none")
