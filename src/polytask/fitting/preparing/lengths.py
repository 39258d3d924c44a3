"""Whether batches are of rows of like length, and how much of them is padding."""

from typing import NamedTuple

from torch import Tensor

from polytask.config import FitConfig
from polytask.errors import UserError, flag
from polytask.inputs import FittedInputs
from polytask.inputs.sequence_padding import padding_share
from polytask.streams import Batch, epoch_order, order_by_length


class Lengths(NamedTuple):
    """What the training stream orders rows by, if anything, and what to say of it."""

    by_B: Tensor | None = None
    note: str | None = None


def lengths_of_rows(config: FitConfig, inputs: FittedInputs, train: Batch) -> Lengths:
    """By length where the inputs have lengths, unless `batch_by` says chance; `config` is complete.

    UserError where batches by length are asked for and no input has lengths.
    """
    lengths_B = inputs.lengths(train.inputs)
    if lengths_B is None:
        if config.batch_by == "length":
            raise UserError(
                f"{flag('batch-by', 'length')}: no input has rows of different lengths that its "
                "module reads in order; leave it out"
            )
        return Lengths()
    size = config.batch_size
    assert size is not None
    by_chance = epoch_order(len(train), seed=config.seed, epoch=0)
    by_length = order_by_length(lengths_B, size, seed=config.seed, epoch=0)
    shares = [padding_share(lengths_B, order, size) for order in (by_length, by_chance)]
    is_by_chance = config.batch_by == "chance"
    said = f"{shares[0]:.1%} in batches of like length, {shares[1]:.1%} in batches by chance"
    chosen = "by chance" if is_by_chance else "of like length"
    return Lengths(None if is_by_chance else lengths_B, f"padding: {said}; batches are {chosen}")
