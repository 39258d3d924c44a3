"""Is each value in its place, or was it exchanged with another row's?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.auxiliary.added_rows import AddedRows
from polytask.auxiliary.auxiliary import TrainingRows, mean_features, require_share
from polytask.auxiliary.encoded_columns import EncodedColumn, encoded_columns
from polytask.auxiliary.loss import AuxiliaryLoss
from polytask.auxiliary.weighing import Weight
from polytask.model.objective import Objective
from polytask.model.outputs import Outputs
from polytask.model.reduction import labelled_rows
from polytask.streams import Batch
from polytask.streams.extended import Made


@dataclass(frozen=True)
class ReplacedValues(AddedRows):
    """Some values of some rows are exchanged for those of other rows; which ones is to be told.

    Source: ELECTRA's replaced token detection (Clark et al., ICLR 2020, eq. 1), on the columns of a
    table as the mask estimation of VIME (Yoon et al., NeurIPS 2020, eq. 4).
    DIFF: values are drawn from other rows of the batch, not from a generator network; only added
    rows, a `share` of the batch, are changed, so that the tasks train on rows as they are.

    Papers: https://arxiv.org/abs/2003.10555,
    https://proceedings.neurips.cc/paper/2020/hash/7d97667a3e056acab9aaf653807b4a03-Abstract.html
    """

    name: ClassVar[str] = "replaced_values"
    salt: ClassVar[int] = 1

    columns: tuple[EncodedColumn, ...]
    rate: float

    @classmethod
    def fit(
        cls,
        rows: TrainingRows,
        *,
        weight: Weight = 0.1,
        columns: Sequence[str] = (),
        rate: float = 0.15,
        share: float = 0.25,
    ) -> Self:
        """`rate` of the values of the added rows are exchanged; `columns` are all by default.

        UserErrors: a column that is no category and no number, a rate or a share outside of (0, 1].
        """
        require_share("rate", rate)
        return cls(weight, share, encoded_columns(rows.inputs, columns), rate)

    def objective(self, num_features: int, *, num_steps: int) -> Objective:
        return _Detection(self, num_features, num_steps)

    def made(self, rows: Batch, generator: torch.Generator) -> Made:
        """A value that is exchanged for an equal one counts as its own, as in ELECTRA."""
        inputs = {name: value.clone() for name, value in rows.inputs.items()}
        shape = (len(rows), len(self.columns))
        chosen_BC = torch.rand(shape, generator=generator) < self.rate
        donor_BC = torch.randint(len(rows), shape, generator=generator)
        label_BC = torch.zeros(shape)
        for c, column in enumerate(self.columns):
            chosen_B, donor_B = chosen_BC[:, c], donor_BC[:, c]
            for name, place in column.places:
                own_B, other_B = rows.inputs[name][:, place], rows.inputs[name][donor_B, place]
                inputs[name][:, place] = torch.where(chosen_B, other_B, own_B)
                # Two missing numbers are equal, though NaN is not NaN.
                differ_B = (own_B != other_B) & ~((own_B != own_B) & (other_B != other_B))
                label_BC[:, c] = torch.maximum(label_BC[:, c], (chosen_B & differ_B).float())
        return inputs, {self.name: label_BC}


class _Detection(AuxiliaryLoss):
    """Binary cross-entropy of each value of the added rows, their mean."""

    def __init__(self, auxiliary: ReplacedValues, num_features: int, num_steps: int) -> None:
        super().__init__(auxiliary, num_steps=num_steps)
        self.head = nn.Linear(num_features, len(auxiliary.columns))

    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        logits_BC, labels_BC = self.head(mean_features(result)), batch.labels[self.name]
        losses_BC = functional.binary_cross_entropy_with_logits(
            logits_BC, labels_BC.nan_to_num(), reduction="none"
        )
        return losses_BC.mean(dim=1)

    def row_weights(self, batch: Batch) -> Tensor | None:
        return labelled_rows(self.name, batch)
