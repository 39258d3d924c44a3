"""Batches with further rows, made of those that are there."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from polytask.streams.batch import Batch
from polytask.streams.stream import WHOLE, Part, Stream

Made = tuple[Mapping[str, Tensor], Mapping[str, Tensor]]
"""Inputs and labels of further rows, by name."""
MakeRows = Callable[[Batch, torch.Generator], Made]


@dataclass(frozen=True, slots=True)
class _Extended(Stream):
    stream: Stream
    make_rows: MakeRows
    share: float
    salt: int

    def num_batches(self, epoch: int) -> int:
        return self.stream.num_batches(epoch)

    def num_rows(self, seed: int, epoch: int, index: int) -> int:
        num_rows = self.stream.num_rows(seed, epoch, index)
        return num_rows + _num_more(num_rows, self.share)

    def batch(self, seed: int, epoch: int, index: int, part: Part = WHOLE) -> Batch:
        """Made of the whole batch, so that its parts are those of what one process sees."""
        whole = self.stream.batch(seed, epoch, index)
        sequence = np.random.SeedSequence([seed, epoch, index, self.salt])
        mixed = sequence.generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(mixed) >> 1)
        chosen_B = torch.randperm(len(whole), generator=generator)[
            : _num_more(len(whole), self.share)
        ]
        rows = whole[chosen_B]
        inputs, labels = self.make_rows(rows, generator)
        return _joined(whole, rows, inputs, labels).part(*part)


def with_rows(stream: Stream, make_rows: MakeRows, *, share: float, salt: int = 0) -> Stream:
    """The stream's batches, each with `share` times as many rows more.

    `make_rows(rows, generator)` gets rows of the batch and returns their changed inputs, all of them, and
    their labels: of other names than the batch's, which the batch's own rows lack. Labels of the
    batch are missing in the new rows. The generator is a function of (seed, epoch, index) and `salt`.

    >>> from polytask.streams import InMemoryStream
    >>> def without_x(rows, generator):
    ...     return {"x": torch.zeros_like(rows.inputs["x"])}, {"was": rows.inputs["x"]}
    >>> table = Batch({"x": torch.ones(2)}, {"click": torch.tensor([0.0, 1.0])})
    >>> batch = with_rows(InMemoryStream(table, 2), without_x, share=0.5).batch(0, 0, 0)
    >>> batch.inputs["x"].tolist(), batch.labels["was"].tolist()
    ([1.0, 1.0, 0.0], [nan, nan, 1.0])
    """
    return _Extended(stream, make_rows, share, salt)


def _num_more(num_rows: int, share: float) -> int:
    return min(math.ceil(num_rows * share), num_rows)


def _joined(
    batch: Batch, rows: Batch, inputs: Mapping[str, Tensor], labels: Mapping[str, Tensor]
) -> Batch:
    """The batch, and below it the new rows: each without the labels of the other."""
    absent = {
        name: torch.full((len(batch), *value.shape[1:]), torch.nan)
        for name, value in labels.items()
    }
    unknown = {name: torch.full_like(value, torch.nan) for name, value in rows.labels.items()}
    return Batch(
        _below(batch.inputs, inputs),
        _below({**batch.labels, **absent}, {**unknown, **labels}),
        _below(batch.weights, rows.weights),
        _one_below(batch.groups, rows.groups),
        _one_below(batch.rows, rows.rows),
        batch.is_stand_in,
    )


def _below(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.cat([value, second[name]]) for name, value in first.items()}


def _one_below(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return None if first is None or second is None else torch.cat([first, second])
