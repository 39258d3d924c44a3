"""How is a column distributed among the earlier rows of a key? A user's clicks by class of item."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from polytask.auxiliary.auxiliary import Auxiliary, TrainingRows, mean_features
from polytask.auxiliary.loss import AuxiliaryLoss
from polytask.auxiliary.weighing import Weight
from polytask.columns.required import require_columns
from polytask.columns.values import coded
from polytask.errors import UserError
from polytask.model.objective import Objective
from polytask.model.outputs import Outputs
from polytask.streams import Batch

_MOST_CLASSES = 64
_MOST_CELLS = 100_000_000
"""Rows times classes: 0.4 GB of labels."""


@dataclass(frozen=True)
class KeyHistogram(Auxiliary):
    """The shares of the classes of `column` among the rows of the same `key` are to be predicted.

    With `time`, among those before the row's own moment alone; without, among all other training rows of the
    key. With `where`, only rows count where that column is above 0, such as those that were clicked. A
    row without such rows is no example. Cross-entropy with the shares.

    Source: the distribution of the data as a task, after the log frequencies of Plank, Soegaard and Goldberg
    (ACL 2016, section 3).
    DIFF: the histogram of a key, not the count of a word.

    Paper: https://arxiv.org/abs/1604.05529
    """

    name: ClassVar[str] = "histogram"

    key: str
    column: str
    where: str
    time: str
    classes: tuple[str, ...]

    @classmethod
    def fit(
        cls,
        rows: TrainingRows,
        *,
        weight: Weight = 0.1,
        key: str = "",
        column: str = "",
        where: str = "",
        time: str = "",
    ) -> Self:
        """`column` has 2 to 64 different values; all four are columns of the table, inputs or not.

        UserErrors: a column that is not there, too many values or one.
        """
        if not key or not column:
            raise UserError(
                "histogram needs a key and a column: {name: histogram, key: user_id, column: tag}"
            )
        require_columns(rows.table, [c for c in (key, column, where, time) if c], "histogram")
        classes = tuple(
            str(v) for v in coded(rows.table[column], f"column {column!r}").values.to_pylist()
        )
        if not 2 <= len(classes) <= _MOST_CLASSES:
            raise UserError(
                f"histogram: {column!r} has {len(classes):,} different values, where classes are 2 to "
                f"{_MOST_CLASSES}"
            )
        if rows.table.num_rows * len(classes) > _MOST_CELLS:
            raise UserError(
                f"histogram: {rows.table.num_rows:,} rows of {len(classes)} shares each are more than memory "
                "should hold: take a coarser column"
            )
        return cls(weight, key, column, where, time, classes)

    def labels(self, rows: TrainingRows) -> dict[str, Tensor]:
        """Shares (B, K), NaN where no row counts."""
        key_B = coded(rows.table[self.key], f"column {self.key!r}").codes_B
        class_B = coded(rows.table[self.column], f"column {self.column!r}").codes_B
        counts_B = (key_B >= 0) & (class_B >= 0)
        if self.where:
            counts_B &= _numbers(rows.table, self.where) > 0
        one_BK = np.zeros((len(key_B), len(self.classes)), dtype=np.float32)
        one_BK[np.flatnonzero(counts_B), class_B[counts_B]] = 1
        if self.time:
            seen_BK = earlier_sums(key_B, _numbers(rows.table, self.time), one_BK)
        else:
            total_KK = np.zeros((key_B.max(initial=-1) + 1, one_BK.shape[1]), dtype=np.float32)
            np.add.at(total_KK, key_B[counts_B], one_BK[counts_B])
            seen_BK = (
                np.where(key_B[:, None] >= 0, total_KK[key_B] - one_BK, 0)
                if len(total_KK)
                else one_BK
            )
        number_B1 = seen_BK.sum(axis=1, keepdims=True)
        is_known_B1 = (number_B1 > 0) & (key_B[:, None] >= 0)
        shares_BK = np.where(is_known_B1, seen_BK / np.maximum(number_B1, 1), np.float32(np.nan))
        return {self.name: torch.from_numpy(shares_BK.astype(np.float32))}

    def objective(self, num_features: int, *, num_steps: int) -> Objective:
        return _Shares(self, num_features, num_steps)


def earlier_sums(
    key_B: NDArray[np.integer], time_B: NDArray[np.float64], values_BK: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The sum of the values of the rows of the same key at an earlier moment; those of the same moment do not count.

    **Shape** (B,), (B,), (B, K) -> (B, K).

    >>> key_B, time_B = np.array([0, 0, 1, 0]), np.array([2.0, 1.0, 0.0, 2.0])
    >>> earlier_sums(key_B, time_B, np.ones((4, 1), np.float32))[:, 0].tolist()
    [1.0, 0.0, 0.0, 1.0]
    """
    order_B = np.lexsort((time_B, key_B))
    key_S, time_S = key_B[order_B], time_B[order_B]
    before_SK = np.cumsum(values_BK[order_B], axis=0, dtype=np.float64)
    before_SK = np.concatenate([np.zeros_like(before_SK[:1]), before_SK])
    places_S = np.arange(len(order_B))
    is_new_key_S = np.append(True, key_S[1:] != key_S[:-1])[: len(key_S)]
    is_new_moment_S = is_new_key_S | np.append(True, time_S[1:] != time_S[:-1])[: len(key_S)]
    first_of_key_S = np.maximum.accumulate(np.where(is_new_key_S, places_S, 0))
    first_of_moment_S = np.maximum.accumulate(np.where(is_new_moment_S, places_S, 0))
    found_BK = np.empty_like(values_BK)
    found_BK[order_B] = before_SK[first_of_moment_S] - before_SK[first_of_key_S]
    return found_BK


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    column = table[name]
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int64())
    if not (
        pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_boolean(column.type)
    ):
        raise UserError(f"histogram: column {name!r} holds {column.type}, where numbers are needed")
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)


class _Shares(AuxiliaryLoss):
    """Cross-entropy of each row's shares."""

    def __init__(self, auxiliary: KeyHistogram, num_features: int, num_steps: int) -> None:
        super().__init__(auxiliary, num_steps=num_steps)
        self.head = nn.Linear(num_features, len(auxiliary.classes))

    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        logits_BK = self.head(mean_features(result))
        return functional.cross_entropy(
            logits_BK, batch.labels[self.name].nan_to_num(), reduction="none"
        )

    def row_weights(self, batch: Batch) -> Tensor:
        if self.name not in batch.labels:
            return torch.zeros(len(batch))
        return (~batch.labels[self.name].isnan()).all(dim=1).float()
