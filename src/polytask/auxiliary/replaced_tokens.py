"""Does each word of a text, each item of a list, belong where it stands?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.auxiliary.added_rows import AddedRows, rows_told
from polytask.auxiliary.auxiliary import TrainingRows, mean_features, require_share
from polytask.auxiliary.list_columns import ListColumn, list_columns
from polytask.auxiliary.loss import AuxiliaryLoss
from polytask.auxiliary.replaced_words import WordsBelong, exchanged
from polytask.auxiliary.weighing import Weight
from polytask.inputs.sequence_padding import PADDING
from polytask.model.objective import Objective
from polytask.model.outputs import Outputs
from polytask.streams import Batch
from polytask.streams.extended import Made


@dataclass(frozen=True)
class ReplacedTokens(AddedRows):
    """Some words or items of some rows are exchanged for those of other rows; which ones is to be told.

    Told from what the trunk makes of the whole row and from the word itself, which has a vector of the loss's
    own (`width` numbers): would this word, this item, occur in such a row? In a model of words (`--columns
    words=...`) from the vector that the trunk makes of the word among its neighbours.

    Source: ELECTRA's replaced token detection (Clark et al., ICLR 2020, eq. 1).
    DIFF: words are drawn from the batch's other rows, as often as they occur there, not by a generator
    network; but for a model of words the trunk has one vector a row, not one a word; only added rows are
    changed.

    Paper: https://arxiv.org/abs/2003.10555
    """

    name: ClassVar[str] = "replaced_tokens"
    salt: ClassVar[int] = 3
    suits_words: ClassVar[bool] = True

    columns: tuple[ListColumn, ...]
    rate: float
    width: int

    @classmethod
    def fit(
        cls,
        rows: TrainingRows,
        *,
        weight: Weight = 0.1,
        columns: Sequence[str] = (),
        rate: float = 0.15,
        share: float = 0.25,
        width: int = 16,
    ) -> Self:
        """`rate` of the entries of the added rows are exchanged; `columns` are all texts and lists by default.

        UserErrors: a column that is neither, a rate or a share outside of (0, 1].
        """
        require_share("rate", rate)
        found = list_columns(rows.inputs, columns)
        words = tuple(column for column in found if column.is_of_words)
        return cls(weight, share, words or found, rate, width)

    def objective(self, num_features: int, *, num_steps: int) -> Objective:
        if self.columns[0].is_of_words:
            return WordsBelong(self, num_features, num_steps)
        return _Belonging(self, num_features, num_steps)

    def made(self, rows: Batch, generator: torch.Generator) -> Made:
        """An entry that is exchanged for an equal one counts as its own; behind the end there is none."""
        if self.columns[0].is_of_words:
            name = self.columns[0].input_name
            ids_BPL, labels_BL = exchanged(rows.inputs[name], self.rate, generator)
            return {**rows.inputs, name: ids_BPL}, {self.name: labels_BL}
        inputs = {name: value.clone() for name, value in rows.inputs.items()}
        labels: list[Tensor] = []
        for column in self.columns:
            own_BL = column.ids(rows.inputs)
            is_there_BL = own_BL != PADDING
            entries_N = own_BL[is_there_BL]
            drawn_BL = torch.rand(own_BL.shape, generator=generator) * len(entries_N)
            chosen_BL = is_there_BL & (torch.rand(own_BL.shape, generator=generator) < self.rate)
            new_BL = own_BL
            if len(entries_N):
                new_BL = torch.where(chosen_BL, entries_N[drawn_BL.long()], own_BL)
            inputs[column.input_name][:, column.place] = new_BL
            is_other_BL = (new_BL != own_BL).float()
            labels.append(is_other_BL.masked_fill(~is_there_BL, torch.nan))
        return inputs, {self.name: torch.cat(labels, dim=1)}


class _Belonging(AuxiliaryLoss):
    """Binary cross-entropy of each entry of the added rows, the mean of a row."""

    def __init__(self, auxiliary: ReplacedTokens, num_features: int, num_steps: int) -> None:
        super().__init__(auxiliary, num_steps=num_steps)
        self.columns, width = auxiliary.columns, auxiliary.width
        self.heads = nn.ModuleList(nn.Linear(num_features, width) for _ in self.columns)
        self.entries = nn.ModuleList(nn.Embedding(c.num_ids, width) for c in self.columns)
        self.rates = nn.ModuleList(nn.Embedding(c.num_ids, 1) for c in self.columns)
        for table in (*self.entries, *self.rates):
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        # Most rows are as they were; their entries would cost as much as all the rest.
        rows_R = torch.nonzero(self.row_weights(batch)).flatten()
        features_RH, labels_RN = mean_features(result)[rows_R], batch.labels[self.name][rows_R]
        logits = []
        for column, head, entries, rates in zip(self.columns, self.heads, self.entries, self.rates):
            ids_RL = column.ids(batch.inputs)[rows_R]
            told_RL = (entries(ids_RL) @ head(features_RH)[:, :, None])[:, :, 0]
            logits.append(told_RL + rates(ids_RL)[:, :, 0])
        losses_RN = functional.binary_cross_entropy_with_logits(
            torch.cat(logits, dim=1), labels_RN.nan_to_num(), reduction="none"
        )
        known_RN = ~labels_RN.isnan()
        mean_R = (losses_RN * known_RN).sum(dim=1) / known_RN.sum(dim=1).clamp(min=1)
        return features_RH.new_zeros(len(batch)).index_copy(0, rows_R, mean_R)

    def row_weights(self, batch: Batch) -> Tensor:
        return rows_told(self.name, batch)
