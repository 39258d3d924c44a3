"""Numbers whose single values occur often: a learned vector for each, beside what Numbers makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polytask.columns.numbers import numbers
from polytask.errors import UserError
from polytask.inputs.embeddings import Embeddings, embedding_dim_for
from polytask.inputs.input import Feature, Input, require_one_each
from polytask.inputs.vocabulary import FIRST_ID, MISSING_ID, UNSEEN_ID

_VALUE_COUNT = 20
_FEWEST_VALUES = 3
_FEWEST_ROWS = 10_000
"""Of fewer rows no value has rows enough for a vector of its own."""


@dataclass(frozen=True)
class FrequentValues(Input):
    """Columns of numbers; each frequent value has an embedding, all rare ones share another.

    Amounts of money, codes and counts have values that mean something by themselves: trees cut beside
    each, while a bin blurs it with its neighbours. FrequentValues are compared in float32, as numbers are.

    >>> table = pa.table({"bonus": [0.0, 500.0, 0.0, 500.0, 7.5, None]})
    >>> bonus = FrequentValues.fit(table, ["bonus"], value_count=2)
    >>> bonus.values, bonus.encode(table).flatten().tolist()
    (((0.0, 500.0),), [2, 3, 2, 3, 1, 0])
    """

    by_column: ClassVar[str] = "values"
    values: tuple[tuple[float, ...], ...]
    embedding_dim: int

    def __post_init__(self) -> None:
        require_one_each(self.columns, self.values, "lists of values")
        if self.embedding_dim < 1:
            raise UserError(f"{self.embedding_dim=} must be positive")
        if not all((np.diff(np.array(each, np.float32)) > 0).all() for each in self.values):
            raise UserError("the values of a column do not ascend")

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        columns: Sequence[str],
        *,
        value_count: int = _VALUE_COUNT,
        embedding_dim: int | None = None,
    ) -> Self:
        """A value has a vector of its own if `value_count` training rows have it.

        UserErrors: text where numbers are due.
        """
        if value_count < 1:
            raise UserError(f"{value_count=} must be positive")
        values = tuple(tuple(_frequent(table, name, value_count).tolist()) for name in columns)
        dim = embedding_dim or embedding_dim_for([len(each) for each in values])
        return cls(tuple(columns), values, dim)

    def encode(self, table: pa.Table) -> Tensor:
        """Ids (B, N), int64: 0 is missing, 1 a rare value, 2 + i the i-th of the column's values."""
        ids_BN = np.empty((table.num_rows, len(self.columns)), dtype=np.int64)
        for n, (name, values) in enumerate(zip(self.columns, self.values)):
            present_B, known = _float32(table, name), np.array(values, np.float32)
            places_B = np.searchsorted(known, present_B)
            known = np.append(known, np.float32(np.nan))
            ids_BN[:, n] = np.where(known[places_B] == present_B, places_B + FIRST_ID, UNSEEN_ID)
            ids_BN[np.isnan(present_B), n] = MISSING_ID
        return torch.from_numpy(ids_BN)

    def module(self) -> Embeddings:
        return Embeddings([len(each) + FIRST_ID for each in self.values], self.embedding_dim)

    def features(self) -> list[Feature]:
        return [
            Feature(name, f"value's embedding {k + 1} of {self.embedding_dim}")
            for name in self.columns
            for k in range(self.embedding_dim)
        ]

    @torch.no_grad()
    def carry(self, module: nn.Module, earlier: Input, earlier_module: nn.Module) -> int:
        """Copy the vectors of values that both runs know, of missing and of rare ones."""
        if not isinstance(earlier, FrequentValues) or earlier.embedding_dim != self.embedding_dim:
            return 0
        assert isinstance(module, Embeddings) and isinstance(earlier_module, Embeddings)
        num_copied = 0
        for n, name in enumerate(self.columns):
            if name in earlier.columns:
                place = earlier.columns.index(name)
                ours = {value: i for i, value in enumerate(self.values[n], start=FIRST_ID)}
                theirs = {v: i for i, v in enumerate(earlier.values[place], start=FIRST_ID)}
                both = [value for value in ours if value in theirs]
                ids = [MISSING_ID, UNSEEN_ID, *(ours[value] for value in both)]
                their_ids = [MISSING_ID, UNSEEN_ID, *(theirs[value] for value in both)]
                rows = module.rows_of(n)
                rows[ids] = earlier_module.rows_of(place)[their_ids].to(rows.device)
                num_copied += len(ids)
        return num_copied


def repeating(table: pa.Table, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns of a table of 10,000 rows or more in which three values or more occur 20 times."""
    if table.num_rows < _FEWEST_ROWS:
        return ()
    found = {name: len(_frequent(table, name, _VALUE_COUNT)) for name in columns}
    return tuple(name for name, number in found.items() if number >= _FEWEST_VALUES)


def _frequent(table: pa.Table, name: str, value_count: int) -> NDArray[np.float32]:
    """The values of so many rows, ascending."""
    values, counts = np.unique(_float32(table, name), return_counts=True)
    return values[(counts >= value_count) & ~np.isnan(values)]


def _float32(table: pa.Table, name: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return numbers(table[name], f"column {name!r}").astype(np.float32) + np.float32(0)
