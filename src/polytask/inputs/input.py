"""The contract of an input: columns of one sort -> a tensor -> entries of x."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar, Self

import pyarrow as pa
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from polytask.errors import UserError
from polytask.files.serial import from_record, to_record


@dataclass(frozen=True, slots=True)
class Feature:
    """One entry of x: the column that it comes from, and what of that column it is.

    Entries of two runs are the same if their features are equal: warm starts go by that.
    """

    column: str
    what: str


@dataclass(frozen=True)
class Input(ABC):
    """All columns of one sort, fitted on the training rows: a frozen dataclass that JSON holds.

    It has two halves. `encode` turns a table into one tensor, once; the module of `module()` turns
    a batch of that tensor into entries of x, at every step, and learns.
    """

    columns: tuple[str, ...]
    by_column: ClassVar[str] = ""
    """The field that has an entry for each column, where the entries of columns have nothing to do with
    each other: such an input can go on with some of its columns, and others beside them."""

    @classmethod
    @abstractmethod
    def fit(cls, table: pa.Table, columns: Sequence[str]) -> Self:
        """What the training rows say of these columns.

        Options are further keyword arguments with defaults; UserErrors say what a column lacks.
        """

    @abstractmethod
    def encode(self, table: pa.Table) -> Tensor:
        """The rows as one tensor (B, ...); what is missing and what was never seen has a place."""

    @abstractmethod
    def module(self) -> nn.Module:
        """A fresh module.

        **Shape** (B, ...) as of `encode` -> (B, F), with F features.
        """

    @abstractmethod
    def features(self) -> Sequence[Feature]:
        """What each of the module's F outputs is, in order."""

    @property
    def map_form(self) -> tuple[int, int, int] | None:
        """Channels, height and width, where the features are a picture's own numbers; else None."""
        return None

    @classmethod
    def bad_rows(cls, table: pa.Table, columns: Sequence[str]) -> Mapping[int, str]:
        """The rows that `encode` would stop at, such as a broken picture, and why each."""
        return {}

    @property
    def num_draws(self) -> int:
        """How many numbers `augment` needs a row; 0: training rows are the same in every epoch."""
        return 0

    def augment(self, values: Tensor, draws_BN: Tensor) -> Tensor:
        """Rows of `encode` as training sees them in one epoch, by numbers uniform in [0, 1)."""
        return values

    def known_words(self) -> Mapping[str, Collection[object]]:
        """The texts that count as values, by column: a table read later keeps them as they are."""
        return {}

    def lengths(self, encoded: Tensor) -> Tensor | None:
        """How many steps the module takes for each row (B,); None where that is no matter of the row.

        Batches of rows of like length then cost less.
        """
        return None

    def num_words(self, encoded: Tensor) -> Tensor | None:
        """How many words each row has (B,), where the module makes a vector of each: (W, F), row after row.

        None where it makes one vector a row.
        """
        return None

    def notes(self, table: pa.Table) -> Sequence[str]:
        """What somebody should know of how these rows are read, a line each."""
        return ()

    def goes_on(self, later: "Input") -> bool:
        """Whether `grown` keeps what this input knows, beside `later` of later rows and their options."""
        return bool(self.by_column) or later.columns == self.columns

    def grown(self, later: "Input") -> "Input":
        """This input as later rows find it, where it goes on: itself; of other columns, those that are
        new as `later` has them. Else `later`.

        Inputs with vocabularies get the values that are new.
        """
        if not self.goes_on(later):
            return later
        if later.columns == self.columns:
            return self
        known = dict(zip(self.columns, getattr(self, self.by_column)))
        new = zip(later.columns, getattr(later, self.by_column))
        entries = tuple(known.get(name, entry) for name, entry in new)
        return replace(self, **{"columns": later.columns, self.by_column: entries})

    @torch.no_grad()
    def carry(self, module: nn.Module, earlier: "Input", earlier_module: nn.Module) -> int:
        """Copy into `module` what an earlier run learned about the same columns.

        Returns how many parameters (or rows of them) were copied: by default all of the same name
        and shape, if the two inputs have the same features in the same order.
        """
        if type(earlier) is not type(self) or earlier.features() != self.features():
            return 0
        theirs = dict(earlier_module.named_parameters())
        pairs = [
            (parameter, theirs[name])
            for name, parameter in module.named_parameters()
            if name in theirs and theirs[name].shape == parameter.shape
        ]
        for parameter, value in pairs:
            parameter.copy_(value)
        return len(pairs)

    def to_record(self) -> dict[str, object]:
        """Plain JSON values, with a format and its version."""
        return to_record(_adapter(type(self)), self, format_name=_format(type(self)), version=1)

    @classmethod
    def from_record(cls, record: object) -> Self:
        """The input of `to_record`; a foreign, newer or damaged record is a UserError."""
        fitted = from_record(_adapter(cls), record, format_name=_format(cls), version=1)
        assert isinstance(fitted, cls)
        return fitted


def require_one_each(columns: Sequence[str], facts: Sequence[object], what: str) -> None:
    """UserError unless each column has one of the facts: a record may have lost some."""
    if len(columns) != len(facts):
        raise UserError(f"{len(columns)} columns, but {len(facts)} {what}")


def _format(kind: type[Input]) -> str:
    return f"polytask-input-{kind.__name__.lower()}"


@cache
def _adapter(kind: type[Input]) -> TypeAdapter[Input]:
    return TypeAdapter(kind)
