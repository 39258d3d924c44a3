"""Inputs that differ from epoch to epoch: each row's change is a function of (seed, epoch, row)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from polytask.errors import UserError
from polytask.streams.batch import Batch
from polytask.streams.stream import WHOLE, Part, Stream


@dataclass(frozen=True, slots=True)
class Augmentation:
    """`change(values, draws)` of one input, where draws (B, num_draws) are uniform in [0, 1)."""

    num_draws: int
    change: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class _Augmented(Stream):
    stream: Stream
    by_input: Mapping[str, Augmentation]

    def num_batches(self, epoch: int) -> int:
        return self.stream.num_batches(epoch)

    def num_rows(self, seed: int, epoch: int, index: int) -> int:
        return self.stream.num_rows(seed, epoch, index)

    def batch(self, seed: int, epoch: int, index: int, part: Part = WHOLE) -> Batch:
        """A part needs its own rows alone, since no row's change depends on another row."""
        batch = self.stream.batch(seed, epoch, index, part)
        if batch.rows is None:
            raise UserError("rows are augmented by their numbers, but this stream's have none")
        changed = {}
        for name, each in self.by_input.items():
            draws_BN = row_draws(batch.rows, each.num_draws, seed=seed, epoch=epoch)
            changed[name] = each.change(batch.inputs[name], draws_BN)
        return replace(batch, inputs={**batch.inputs, **changed})


def with_augmented(stream: Stream, by_input: Mapping[str, Augmentation]) -> Stream:
    """The stream's batches with some inputs changed, anew in every epoch.

    What is drawn for a row is a function of (seed, epoch, row): it repeats in a resumed run, on every
    rank, and whatever batch the row is in.

    >>> from polytask.streams import InMemoryStream
    >>> noisy = Augmentation(1, lambda x, draws: x + draws)
    >>> stream = with_augmented(InMemoryStream(Batch({"x": torch.zeros(4, 1)}), 2), {"x": noisy})
    >>> torch.equal(stream.batch(0, 3, 1).inputs["x"], stream.batch(0, 3, 1).inputs["x"])
    True
    >>> torch.equal(stream.batch(0, 3, 1).inputs["x"], stream.batch(0, 4, 1).inputs["x"])
    False
    """
    return _Augmented(stream, dict(by_input)) if by_input else stream


def row_draws(rows_B: Tensor, num_draws: int, *, seed: int, epoch: int) -> Tensor:
    """`num_draws` numbers a row, uniform in [0, 1): a function of (seed, epoch, row, place).

    Counters mixed by splitmix64 (Steele et al., OOPSLA 2014): no generator has to be wound on to a
    row. **Shape** (B,) -> (B, num_draws), float64.

    >>> row_draws(torch.tensor([7, 3]), 2, seed=0, epoch=1)[1:].equal(
    ...     row_draws(torch.tensor([3]), 2, seed=0, epoch=1))
    True
    """
    if seed < 0 or epoch < 0:
        raise UserError(f"seed and epoch must not be negative, but {seed=} and {epoch=}")
    start = np.random.SeedSequence([seed, epoch, *b"rows"]).generate_state(1, np.uint64)[0]
    first_B = rows_B.cpu().numpy().astype(np.uint64) * np.uint64(num_draws)
    counts_BN = first_B[:, None] + np.arange(1, num_draws + 1, dtype=np.uint64)
    mixed_BN = start + counts_BN * np.uint64(0x9E3779B97F4A7C15)
    mixed_BN = (mixed_BN ^ (mixed_BN >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed_BN = (mixed_BN ^ (mixed_BN >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed_BN ^= mixed_BN >> np.uint64(31)
    # 53 bits, as many as a float64 holds below 1.
    return torch.from_numpy((mixed_BN >> np.uint64(11)).astype(np.float64) / 2**53)
