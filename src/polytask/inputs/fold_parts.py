"""What a part of the encoder says of its columns that may be folded."""

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from polytask.inputs.fold_layout import Looked


class Lookups(NamedTuple):
    """What a part's columns read: rows of their tables from each column's first on (B, C), the shares of those
    columns that have one (B, S), and the part's other features in order (B, R)."""

    ids_BC: Tensor
    shares_BS: Tensor | None
    rest_BR: Tensor


class FoldedPart(ABC):
    """The columns of one part of x that are looked up: tables, and where they are among the part's features."""

    columns: tuple[Looked, ...]

    @property
    @abstractmethod
    def tables(self) -> tuple[Tensor, ...]:
        """What the columns look up, as it is now."""

    @abstractmethod
    def read(self, values: Tensor) -> Lookups:
        """What a batch reads."""


@runtime_checkable
class Foldable(Protocol):
    """A module of which columns may be folded."""

    def folded_part(self, most_values: int) -> FoldedPart | None:
        """Its columns of so many values at most; None if there is none."""
