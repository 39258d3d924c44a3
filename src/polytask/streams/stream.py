"""Stream: batches as a function of (seed, epoch, index), so that nothing needs to be remembered."""

from abc import ABC, abstractmethod

from polytask.streams.batch import Batch

Part = tuple[int, int]
WHOLE: Part = (0, 1)


class Stream(ABC):
    """The batches of every epoch.

    `batch` is a pure function of its arguments: a resumed run and every rank of several find the
    same rows without any state. `part` (k, n) is the k-th of n parts of the batch, equal up to a
    row; where it has no row it is a stand-in, which counts in no loss.

    >>> import torch
    >>> from polytask.streams import InMemoryStream
    >>> stream = InMemoryStream(Batch({"x": torch.arange(10)}), batch_size=4)
    >>> [len(stream.batch(0, 0, index)) for index in range(stream.num_batches(0))]
    [4, 4, 2]
    """

    @abstractmethod
    def num_batches(self, epoch: int) -> int:
        """How many batches the epoch has."""

    @abstractmethod
    def num_rows(self, seed: int, epoch: int, index: int) -> int:
        """How many rows the whole batch has."""

    @abstractmethod
    def batch(self, seed: int, epoch: int, index: int, part: Part = WHOLE) -> Batch:
        """The batch, or a part of it."""
