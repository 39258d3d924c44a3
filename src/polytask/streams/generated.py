"""Labels that are made of a batch, not read from a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from polytask.streams.batch import Batch
from polytask.streams.stream import WHOLE, Part, Stream

MakeTargets: TypeAlias = Callable[[Batch, torch.Generator], Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True)
class _Generated(Stream):
    stream: Stream
    make_targets: MakeTargets

    def num_batches(self, epoch: int) -> int:
        return self.stream.num_batches(epoch)

    def num_rows(self, seed: int, epoch: int, index: int) -> int:
        return self.stream.num_rows(seed, epoch, index)

    def batch(self, seed: int, epoch: int, index: int, part: Part = WHOLE) -> Batch:
        """Made of the whole batch, so that its parts are those of what one process sees."""
        whole = self.stream.batch(seed, epoch, index)
        mixed = np.random.SeedSequence([seed, epoch, index]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(mixed) >> 1)
        made = self.make_targets(whole, generator)
        return replace(whole, labels={**whole.labels, **made}).part(*part)


def with_generated(stream: Stream, make_targets: MakeTargets) -> Stream:
    """The stream's batches with further labels, made by `make_targets(batch, generator)`.

    The generator is the batch's own, a function of (seed, epoch, index): draw from no other, and the
    targets repeat in a resumed run and on every rank. Labels of a name that is there are replaced.

    >>> from polytask.streams import InMemoryStream
    >>> def is_positive(batch, generator):
    ...     return {"positive": (batch.inputs["x"] > 0).float()}
    >>> stream = with_generated(InMemoryStream(Batch({"x": torch.tensor([-1.0])}), 1), is_positive)
    >>> stream.batch(0, 0, 0).labels["positive"]
    tensor([0.])
    """
    return _Generated(stream, make_targets)
