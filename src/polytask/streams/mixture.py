"""Several data sets as one stream, in shares of one's choice."""

from collections.abc import Sequence

import numpy as np

from polytask.errors import UserError
from polytask.streams.batch import Batch
from polytask.streams.order import epoch_order
from polytask.streams.stream import WHOLE, Part, Stream


class Mixture(Stream):
    """Batches of several streams, interleaved anew every epoch.

    A batch is of one stream alone: streams may have labels of different tasks, which are then absent
    from the others' batches, but inputs that one encoder reads.
    `batches`: how many of each stream an epoch has, all of them if absent. A stream with more of its
    own continues in the next epoch where it stopped; one with fewer begins a further epoch of its own. Such
    streams have as many batches in each of their epochs.

    >>> import torch
    >>> from polytask.streams import InMemoryStream
    >>> x = {"x": torch.zeros(6, 2)}
    >>> clicks = InMemoryStream(Batch(x, {"click": torch.ones(6)}), batch_size=2)
    >>> likes = InMemoryStream(Batch(x, {"like": torch.ones(6)}), batch_size=3)
    >>> mixture = Mixture([clicks, likes])
    >>> [[*mixture.batch(0, 1, index).labels] for index in range(mixture.num_batches(1))]
    [['click'], ['like'], ['click'], ['like'], ['click']]
    >>> Mixture([clicks, likes], batches=[1, 4]).num_batches(0)
    5
    """

    def __init__(self, streams: Sequence[Stream], *, batches: Sequence[int] | None = None) -> None:
        if not streams:
            raise UserError("a mixture needs a stream or more")
        if batches is not None and (len(batches) != len(streams) or min(batches) < 1):
            raise UserError(
                f"a mixture of {len(streams)} streams needs as many numbers of batches, each 1 or "
                f"more, but {batches=}"
            )
        self.streams = tuple(streams)
        self.batches = None if batches is None else tuple(batches)

    def num_batches(self, epoch: int) -> int:
        return sum(self._counts(epoch))

    def num_rows(self, seed: int, epoch: int, index: int) -> int:
        stream, own_epoch, place = self._find(seed, epoch, index)
        return stream.num_rows(seed, own_epoch, place)

    def batch(self, seed: int, epoch: int, index: int, part: Part = WHOLE) -> Batch:
        stream, own_epoch, place = self._find(seed, epoch, index)
        return stream.batch(seed, own_epoch, place, part)

    def _counts(self, epoch: int) -> tuple[int, ...]:
        return self.batches or tuple(stream.num_batches(epoch) for stream in self.streams)

    def _find(self, seed: int, epoch: int, index: int) -> tuple[Stream, int, int]:
        """The stream whose batch this is, its own epoch, and the place in that."""
        counts = self._counts(epoch)
        if not 0 <= index < sum(counts):
            raise UserError(f"there is no batch {index} in an epoch of {sum(counts)}")
        place = int(epoch_order(sum(counts), seed=seed, epoch=epoch)[index])
        for stream, count in zip(self.streams, counts):
            if place < count:
                if self.batches is None:
                    return stream, epoch, place
                return stream, *divmod(epoch * count + place, stream.num_batches(0))
            place -= count
        raise AssertionError("the streams have as many batches as the mixture")


def batches_in_shares(
    num_rows: Sequence[int], num_batches: Sequence[int], *, temperature: float
) -> list[int]:
    """How many batches each data set has in an epoch, of as many as all have together.

    The share of a data set of n rows is in proportion to n ** (1 / temperature) (Aharoni et al., NAACL
    2019; Raffel et al., JMLR 2020, section 3.5.2): at 1 to its rows, at 2 to their root, at infinity all
    are alike. Largest remainders; none has less than one.

    Paper: https://arxiv.org/abs/1910.10683

    >>> batches_in_shares([9000, 1000], [90, 10], temperature=1)
    [90, 10]
    >>> batches_in_shares([9000, 1000], [90, 10], temperature=2)
    [75, 25]
    >>> batches_in_shares([9000, 1000], [90, 10], temperature=float("inf"))
    [50, 50]
    """
    if not temperature >= 1:
        raise UserError(f"a temperature of shares is 1 or more, but {temperature=}")
    if temperature == 1:
        return list(num_batches)
    total = sum(num_batches)
    weights = np.asarray(num_rows, dtype=np.float64) ** (1 / temperature)
    exact = total * weights / weights.sum()
    counts = np.maximum(np.floor(exact).astype(int), 1)
    while counts.sum() < total:
        counts[np.argmax(exact - counts)] += 1
    while counts.sum() > max(total, len(counts)):
        counts[np.argmin(exact - counts)] -= 1
    return [int(count) for count in counts]
