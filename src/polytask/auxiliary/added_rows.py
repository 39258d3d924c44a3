"""Auxiliaries whose loss is of rows that are added to each batch: some of its own, changed."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from polytask.auxiliary.auxiliary import Auxiliary, require_share
from polytask.streams import Batch, Stream, with_rows
from polytask.streams.extended import Made


@dataclass(frozen=True)
class AddedRows(Auxiliary):
    """`share` times as many rows more in each batch, so that the tasks train on rows as they are.

    UserError for a share outside of (0, 1].
    """

    salt: ClassVar[int]
    """Sets the draws of one kind apart from those of the others."""

    share: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_share("share", self.share)

    def extend(self, stream: Stream) -> Stream:
        return with_rows(stream, self.made, share=self.share, salt=self.salt)

    @abstractmethod
    def made(self, rows: Batch, generator: torch.Generator) -> Made:
        """Changed inputs of these rows, all of them, and labels of what was changed under the own name."""


def rows_told(name: str, batch: Batch) -> Tensor:
    """1 for a row with any label of that name (B, L), 0 for the others."""
    if name not in batch.labels:
        return torch.zeros(len(batch))
    return (~batch.labels[name].isnan()).any(dim=1).float()
