"""Are the two parts of a text, or of a list, in their order?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.auxiliary.added_rows import AddedRows
from polytask.auxiliary.auxiliary import TrainingRows, mean_features
from polytask.auxiliary.list_columns import ListColumn, list_columns
from polytask.auxiliary.loss import AuxiliaryLoss
from polytask.auxiliary.weighing import Weight
from polytask.inputs.sequence_padding import lengths_of
from polytask.model.objective import Objective
from polytask.model.outputs import Outputs
from polytask.model.reduction import labelled_rows
from polytask.streams import Batch
from polytask.streams.extended import Made


@dataclass(frozen=True)
class SwappedOrder(AddedRows):
    """Half of the added rows have a text or list cut in two at a chance place, the second part first; which
    rows is to be told.

    An encoder that does not see the order, such as the mean, cannot tell it.

    Source: the sentence order of ALBERT (Lan et al., ICLR 2020, section 3.1).
    DIFF: parts of one text at any place, not two sentences.

    Paper: https://arxiv.org/abs/1909.11942
    """

    name: ClassVar[str] = "swapped_order"
    salt: ClassVar[int] = 4

    columns: tuple[ListColumn, ...]

    @classmethod
    def fit(
        cls,
        rows: TrainingRows,
        *,
        weight: Weight = 0.1,
        columns: Sequence[str] = (),
        share: float = 0.25,
    ) -> Self:
        """`columns` are all texts and lists by default; in a row that is chosen all of them are swapped.

        UserErrors: a column that is neither, a share outside of (0, 1].
        """
        return cls(weight, share, list_columns(rows.inputs, columns))

    @property
    def chance(self) -> float:
        return 0.5

    def objective(self, num_features: int, *, num_steps: int) -> Objective:
        return _Order(self, num_features, num_steps)

    def made(self, rows: Batch, generator: torch.Generator) -> Made:
        """Rows of one entry or none have no order: they are no example."""
        inputs = {name: value.clone() for name, value in rows.inputs.items()}
        chosen_B = torch.rand(len(rows), generator=generator) < 0.5
        has_order_B = torch.zeros(len(rows), dtype=torch.bool)
        for column in self.columns:
            own_BL = column.ids(rows.inputs)
            length_B = lengths_of(own_BL)
            cut_B = 1 + (torch.rand(len(rows), generator=generator) * (length_B - 1)).long()
            moved_BL = rotated(own_BL, length_B, cut_B)
            inputs[column.input_name][:, column.place] = torch.where(
                chosen_B[:, None], moved_BL, own_BL
            )
            has_order_B |= (moved_BL != own_BL).any(dim=1)
        return inputs, {self.name: chosen_B.float().masked_fill(~has_order_B, torch.nan)}


def rotated(ids_BL: Tensor, length_B: Tensor, cut_B: Tensor) -> Tensor:
    """The entries from `cut` to the end first, then those before; what lies behind the end stays.

    **Shape** (B, L), (B,), (B,) -> (B, L).

    >>> rotated(torch.tensor([[5, 6, 7, 0]]), torch.tensor([3]), torch.tensor([2])).tolist()
    [[7, 5, 6, 0]]
    """
    place_L = torch.arange(ids_BL.shape[1])
    moved_BL = (place_L + cut_B[:, None]) % length_B[:, None].clamp(min=1)
    return ids_BL.gather(1, torch.where(place_L < length_B[:, None], moved_BL, place_L))


class _Order(AuxiliaryLoss):
    """Binary cross-entropy of each added row."""

    def __init__(self, auxiliary: SwappedOrder, num_features: int, num_steps: int) -> None:
        super().__init__(auxiliary, num_steps=num_steps)
        self.head = nn.Linear(num_features, 1)

    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        return functional.binary_cross_entropy_with_logits(
            self.head(mean_features(result))[:, 0],
            batch.labels[self.name].nan_to_num(),
            reduction="none",
        )

    def accuracy(self, result: Outputs, batch: Batch) -> Tensor | None:
        if self.name not in batch.labels:
            return None
        labels_B = batch.labels[self.name]
        known_B = ~labels_B.isnan()
        is_right_B = (self.head(mean_features(result)[known_B])[:, 0] > 0) == (
            labels_B[known_B] > 0
        )
        accuracy: Tensor = is_right_B.float().mean()
        return accuracy

    def row_weights(self, batch: Batch) -> Tensor | None:
        return labelled_rows(self.name, batch)
