"""Several data sets as one stream."""

from collections.abc import Sequence

from polytask.errors import UserError
from polytask.streams.batch import Batch
from polytask.streams.order import epoch_order
from polytask.streams.stream import WHOLE, Part, Stream


class Mixture(Stream):
    """All batches of several streams, interleaved anew every epoch.

    A batch is of one stream alone: streams may have labels of different tasks, which are then absent
    from the others' batches, but inputs that one encoder reads.

    >>> import torch
    >>> from polytask.streams import InMemoryStream
    >>> x = {"x": torch.zeros(6, 2)}
    >>> clicks = InMemoryStream(Batch(x, {"click": torch.ones(6)}), batch_size=2)
    >>> likes = InMemoryStream(Batch(x, {"like": torch.ones(6)}), batch_size=3)
    >>> mixture = Mixture([clicks, likes])
    >>> [[*mixture.batch(0, 1, index).labels] for index in range(mixture.num_batches(1))]
    [['click'], ['like'], ['click'], ['like'], ['click']]
    """

    def __init__(self, streams: Sequence[Stream]) -> None:
        if not streams:
            raise UserError("a mixture needs a stream or more")
        self.streams = tuple(streams)

    def num_batches(self, epoch: int) -> int:
        return sum(stream.num_batches(epoch) for stream in self.streams)

    def num_rows(self, seed: int, epoch: int, index: int) -> int:
        stream, place = self._find(seed, epoch, index)
        return stream.num_rows(seed, epoch, place)

    def batch(self, seed: int, epoch: int, index: int, part: Part = WHOLE) -> Batch:
        stream, place = self._find(seed, epoch, index)
        return stream.batch(seed, epoch, place, part)

    def _find(self, seed: int, epoch: int, index: int) -> tuple[Stream, int]:
        """The stream whose batch this is, and its place there."""
        number = self.num_batches(epoch)
        if not 0 <= index < number:
            raise UserError(f"there is no batch {index} in an epoch of {number}")
        place = int(epoch_order(number, seed=seed, epoch=epoch)[index])
        for stream in self.streams:
            if place < stream.num_batches(epoch):
                return stream, place
            place -= stream.num_batches(epoch)
        raise AssertionError("the streams have as many batches as the mixture")
