"""One group of columns from the other, and back: what is hidden is to be predicted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.auxiliary.added_rows import AddedRows, rows_told
from polytask.auxiliary.auxiliary import TrainingRows, mean_features
from polytask.auxiliary.encoded_columns import EncodedColumn, encoded_columns
from polytask.auxiliary.loss import AuxiliaryLoss
from polytask.auxiliary.weighing import Weight
from polytask.errors import UserError
from polytask.model.objective import Objective
from polytask.model.outputs import Outputs
from polytask.streams import Batch
from polytask.streams.extended import Made

_MOST_IDS = 1_000
_FARTHEST = 3.0
"""Standard deviations beyond which a number is predicted as if it were nearer."""


@dataclass(frozen=True)
class MaskedColumns(AddedRows):
    """Rows are added in which a group of columns is hidden: it is to be predicted from the others.

    Forward and backward with one set of parameters: in a half of the added rows `columns` are
    hidden, in the other half all others. Categories have cross-entropy, numbers the squared error in
    standard deviations; columns of more than 1,000 values are hidden but not predicted.

    Source: masked reconstruction of tables, the feature vector estimation of VIME (Yoon et al.,
    NeurIPS 2020, eq. 5).
    DIFF: whole groups are hidden, not single values, and hidden values are missing, not exchanged.

    Paper: https://proceedings.neurips.cc/paper/2020/hash/7d97667a3e056acab9aaf653807b4a03-Abstract.html
    """

    name: ClassVar[str] = "masked_columns"
    salt: ClassVar[int] = 2

    first: tuple[EncodedColumn, ...]
    second: tuple[EncodedColumn, ...]

    @classmethod
    def fit(
        cls,
        rows: TrainingRows,
        *,
        weight: Weight = 0.1,
        columns: Sequence[str] = (),
        share: float = 0.25,
    ) -> Self:
        """`columns` are one of the two groups; by default every other column.

        UserErrors: a column that is no category and no number, or no column left for the other group.
        """
        everything = encoded_columns(rows.inputs)
        first = encoded_columns(rows.inputs, columns) if columns else everything[::2]
        second = tuple(column for column in everything if column not in first)
        if not second:
            raise UserError(
                "masked_columns needs a column on either side: one group has all of them"
            )
        return cls(weight, share, first, second)

    @property
    def targets(self) -> tuple[EncodedColumn, ...]:
        return tuple(c for c in (*self.first, *self.second) if c.num_ids <= _MOST_IDS)

    def objective(self, num_features: int, *, num_steps: int) -> Objective:
        return _Reconstruction(self, num_features, num_steps)

    def made(self, rows: Batch, generator: torch.Generator) -> Made:
        inputs = {name: value.clone() for name, value in rows.inputs.items()}
        is_first_B = torch.rand(len(rows), generator=generator) < 0.5
        labels: list[Tensor] = []
        for group, hidden_B in ((self.first, is_first_B), (self.second, ~is_first_B)):
            for column in group:
                if column in self.targets:
                    own_B = column.values(rows.inputs).float()
                    labels.append(torch.where(hidden_B, own_B, torch.nan))
                for name, place in column.places:
                    missing = torch.nan if inputs[name].is_floating_point() else 0
                    inputs[name][hidden_B, place] = missing
        return inputs, {self.name: torch.stack(labels, dim=1)}


class _Reconstruction(AuxiliaryLoss):
    """The mean loss of the hidden values of each added row."""

    def __init__(self, auxiliary: MaskedColumns, num_features: int, num_steps: int) -> None:
        super().__init__(auxiliary, num_steps=num_steps)
        self.heads = nn.ModuleList(
            nn.Linear(num_features, column.num_ids or 1) for column in auxiliary.targets
        )

    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        features_BH, labels_BC = mean_features(result), batch.labels[self.name]
        # Most rows have nothing hidden; their heads would cost as much as all the rest.
        rows = torch.nonzero(self.row_weights(batch)).flatten()
        losses_B = features_BH.new_zeros(len(labels_BC))
        known_RC = ~labels_BC[rows].isnan()
        losses_RC = torch.stack(
            [
                _loss(head(features_BH[rows]), labels_R.nan_to_num())
                for head, labels_R in zip(self.heads, labels_BC[rows].T)
            ],
            dim=1,
        )
        mean_R = (losses_RC * known_RC).sum(dim=1) / known_RC.sum(dim=1).clamp(min=1)
        return losses_B.index_copy(0, rows, mean_R)

    def row_weights(self, batch: Batch) -> Tensor:
        return rows_told(self.name, batch)


def _loss(outputs_RO: Tensor, labels_R: Tensor) -> Tensor:
    if outputs_RO.shape[1] > 1:
        return functional.cross_entropy(outputs_RO, labels_R.long(), reduction="none")
    return (outputs_RO[:, 0] - labels_R.clamp(-_FARTHEST, _FARTHEST)).square()
