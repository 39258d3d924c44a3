"""Domains that are not to be told apart: a discriminator, and a trunk that learns to defeat it."""

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.auxiliary.auxiliary import Auxiliary, TrainingRows
from polytask.auxiliary.loss import AuxiliaryLoss
from polytask.auxiliary.weighing import Weight
from polytask.columns.required import require_columns
from polytask.columns.values import coded
from polytask.errors import UserError
from polytask.model.objective import Objective, reverse_gradient
from polytask.model.outputs import Outputs
from polytask.model.reduction import labelled_rows
from polytask.model.words import pooled
from polytask.streams import Batch

_STEEPNESS = 10.0


@dataclass(frozen=True)
class Adversarial(Auxiliary):
    """A column, or the data set, names the domain of each row; what the trunk makes of a row is not to tell it.

    It reads the mean of the trunk's features of all tasks; of `shared_private` what is shared alone; in a model
    of words the mean over a row's words.

    The discriminator learns by its own loss; the trunk and the encoder get its gradient times
    -lambda, which rises as 2 / (1 + exp(-10 p)) - 1 with the part p of training that is done.
    `reversal` is lambda's largest value and scales nothing of the discriminator.

    Source: Ganin et al., JMLR 2016 (DANN), eq. 10 and section 5.2.

    Paper: https://arxiv.org/abs/1505.07818
    """

    name: ClassVar[str] = "adversarial"
    suits_words: ClassVar[bool] = True
    reads: ClassVar = "shared"

    column: str
    domains: tuple[str, ...]
    shares: tuple[float, ...]
    reversal: float
    hidden: int

    @classmethod
    def fit(
        cls,
        rows: TrainingRows,
        *,
        weight: Weight = 0.1,
        column: str = "",
        reversal: float = 1.0,
        hidden: int = 32,
    ) -> Self:
        """`column` is any of the table, by default the data set; `hidden` is the width of the discriminator.

        UserErrors: it is not there, or has one value, or more than a tenth of the rows have.
        """
        if reversal < 0 or hidden < 1:
            raise UserError(f"adversarial: {reversal=} must not be negative, {hidden=} positive")
        sizes = _sizes_of_sets(rows) if not column else _sizes_of_values(rows, column)
        shares = tuple(size / sum(sizes.values()) for size in sizes.values())
        return cls(weight, column, tuple(sizes), shares, float(reversal), hidden)

    @property
    def chance(self) -> float:
        return max(self.shares)

    def labels(self, rows: TrainingRows) -> dict[str, Tensor]:
        if not self.column:
            known = [rows.set_rows[name] for name in self.domains]
            parts = [torch.full((len(each),), float(k)) for k, each in enumerate(known)]
            return {self.name: torch.cat(parts)}
        codes_B = coded(rows.table[self.column], f"column {self.column!r}").codes_B
        return {self.name: torch.from_numpy(np.where(codes_B < 0, np.float32(np.nan), codes_B))}

    def objective(self, num_features: int, *, num_steps: int) -> Objective:
        return _Discriminator(self, num_features, num_steps)


class _Discriminator(AuxiliaryLoss):
    """Cross-entropy of the domain, through reversed gradients."""

    def __init__(self, auxiliary: Adversarial, num_features: int, num_steps: int) -> None:
        super().__init__(auxiliary, num_steps=num_steps)
        self.reversal = auxiliary.reversal
        self.layers = nn.Sequential(
            nn.Linear(num_features, auxiliary.hidden),
            nn.ReLU(),
            nn.Linear(auxiliary.hidden, len(auxiliary.domains)),
        )

    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        strength = self.reversal * reversal_at(self.progress)
        features_BH = pooled(result.shared, result.num_words)
        logits_BK = self.layers(reverse_gradient(features_BH, strength))
        domains_B = batch.labels[self.name].nan_to_num().long()
        return functional.cross_entropy(logits_BK, domains_B, reduction="none")

    def accuracy(self, result: Outputs, batch: Batch) -> Tensor | None:
        if self.name not in batch.labels:
            return None
        domains_B = batch.labels[self.name]
        known_B = ~domains_B.isnan()
        found_B = self.layers(pooled(result.shared, result.num_words)[known_B]).argmax(dim=1)
        is_right_B: Tensor = found_B == domains_B[known_B]
        return is_right_B.float().mean()

    def row_weights(self, batch: Batch) -> Tensor | None:
        return labelled_rows(self.name, batch)


def _sizes_of_sets(rows: TrainingRows) -> dict[str, int]:
    """The training rows of each data set; UserError where there is one table."""
    if not rows.set_rows:
        raise UserError(
            "adversarial needs a column: {name: adversarial, column: domain}, or several data sets"
        )
    return {name: len(each) for name, each in rows.set_rows.items()}


def _sizes_of_values(rows: TrainingRows, column: str) -> dict[str, int]:
    """The training rows of each value; UserError for a column that names no domains."""
    require_columns(rows.table, [column], "adversarial")
    found = coded(rows.table[column], f"column {column!r}")
    num_domains = len(found.values)
    if not 2 <= num_domains <= max(2, rows.table.num_rows // 10):
        raise UserError(
            f"adversarial: {column!r} has {num_domains:,} different values, where domains are "
            "2 or more, each of many rows"
        )
    counts = np.bincount(found.codes_B[found.codes_B >= 0], minlength=num_domains).tolist()
    return dict(zip(map(str, found.values.to_pylist()), counts))


def reversal_at(progress: float) -> float:
    """Lambda of DANN, from 0 at the start of training to nearly 1 at its end.

    >>> [round(reversal_at(p), 5) for p in (0, 0.1, 0.5, 1)]
    [0.0, 0.46212, 0.98661, 0.99991]
    """
    return 2 / (1 + math.exp(-_STEEPNESS * progress)) - 1
