"""How often does this value occur? The distribution of the data as a task."""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.auxiliary.auxiliary import Auxiliary, TrainingRows, mean_features
from polytask.auxiliary.encoded_columns import EncodedColumn, encoded_columns
from polytask.auxiliary.list_columns import ListColumn, list_columns
from polytask.auxiliary.loss import AuxiliaryLoss
from polytask.auxiliary.weighing import Weight
from polytask.errors import UserError
from polytask.inputs import FittedInputs, WordInput
from polytask.inputs.categories import UNSEEN_ID
from polytask.inputs.sequence_padding import PADDING, lengths_of
from polytask.model.objective import Objective
from polytask.model.outputs import Outputs
from polytask.model.words import mean_of_rows
from polytask.streams import Batch


@dataclass(frozen=True)
class Frequency(Auxiliary):
    """The bin int(log(count)) of a category, counted in the training rows, is to be predicted.

    A row's representation then says whether its value is common or rare, which helps rare ones. Of a column
    that is read word by word it is the bin of each word; words too rare for the vocabulary are in bin 0.

    Source: the FREQBIN auxiliary loss (Plank, Soegaard and Goldberg, ACL 2016, section 3).

    Paper: https://arxiv.org/abs/1604.05529
    """

    name: ClassVar[str] = "frequency"
    suits_words: ClassVar[bool] = True

    column: EncodedColumn | ListColumn
    bins: tuple[int, ...]

    @classmethod
    def fit(cls, rows: TrainingRows, *, weight: Weight = 0.1, column: str = "") -> Self:
        """`column` is a category among the inputs, or the column of the words.

        UserErrors: it is none, or all of its values are equally frequent.
        """
        if not column:
            raise UserError("frequency needs a column: {name: frequency, column: video_id}")
        found = _column(rows.inputs, column)
        if isinstance(found, ListColumn):
            ids = found.ids(rows.encoded).flatten()
            counts = torch.bincount(ids, minlength=found.num_ids)
            counts[PADDING] = counts[UNSEEN_ID] = 0
        else:
            counts = torch.bincount(found.values(rows.encoded), minlength=found.num_ids)
        bins = counts.clamp(min=1).double().log().floor().int()
        if len(set(bins[counts > 0].tolist())) < 2:
            raise UserError(f"frequency: all values of {column!r} are equally frequent")
        return cls(weight, found, tuple(bins.tolist()))

    def objective(self, num_features: int, *, num_steps: int) -> Objective:
        return _FrequencyBin(self, num_features, num_steps)


def _column(inputs: FittedInputs, name: str) -> EncodedColumn | ListColumn:
    if isinstance(inputs.by_name.get("words"), WordInput):
        return list_columns(inputs, [name])[0]
    (found,) = encoded_columns(inputs, [name])
    if not found.num_ids:
        raise UserError(f"frequency: {name!r} is read as a number: --categorical makes it one")
    return found


class _FrequencyBin(AuxiliaryLoss):
    """Cross-entropy of the bin of each row's value, or the mean over its words."""

    def __init__(self, auxiliary: Frequency, num_features: int, num_steps: int) -> None:
        super().__init__(auxiliary, num_steps=num_steps)
        self.column = auxiliary.column
        self.bins: Tensor
        self.register_buffer("bins", torch.tensor(auxiliary.bins), persistent=False)
        self.head = nn.Linear(num_features, max(auxiliary.bins) + 1)

    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        logits_BK = self.head(mean_features(result))
        if not isinstance(self.column, ListColumn):
            bins_B = self.bins[self.column.values(batch.inputs)].long()
            return functional.cross_entropy(logits_BK, bins_B, reduction="none")
        assert result.num_words is not None
        ids_BL = self.column.ids(batch.inputs)
        bins_W = self.bins[ids_BL[ids_BL != PADDING]].long()
        losses_W = functional.cross_entropy(logits_BK, bins_W, reduction="none")
        return mean_of_rows(losses_W, torch.ones_like(losses_W), result.num_words)

    def row_weights(self, batch: Batch) -> Tensor | None:
        """As many as a row has words, where it is the words that are told."""
        if not isinstance(self.column, ListColumn):
            return None
        return lengths_of(self.column.ids(batch.inputs)).float()
