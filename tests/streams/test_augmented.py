"""Augmented rows: a function of (seed, epoch, row), whatever the batch and whoever asks."""

import pytest
import torch

from polytask.errors import UserError
from polytask.streams import (
    Augmentation,
    Batch,
    InMemoryStream,
    Stream,
    row_draws,
    with_augmented,
)

NUM_ROWS = 23


def stream(batch_size: int) -> Stream:
    """Rows that say which they are, and noise that says what was drawn for them."""
    table = Batch({"x": torch.arange(NUM_ROWS), "noise": torch.zeros(NUM_ROWS, 3)})
    noise = Augmentation(3, lambda values, draws: values + draws)
    return with_augmented(InMemoryStream(table, batch_size), {"noise": noise})


def by_row(batch_size: int, *, seed: int = 0, epoch: int = 0, parts: int = 1) -> torch.Tensor:
    made = torch.zeros(NUM_ROWS, 3)
    batches = stream(batch_size)
    for index in range(batches.num_batches(epoch)):
        for part in range(parts):
            batch = batches.batch(seed, epoch, index, (part, parts))
            made[batch.inputs["x"]] = batch.inputs["noise"].float()
    return made


def test_a_row_s_draws_do_not_depend_on_its_batch_or_on_the_ranks() -> None:
    assert by_row(4).equal(by_row(7)) and by_row(4).equal(by_row(4, parts=3))
    assert by_row(4).unique().numel() == NUM_ROWS * 3


def test_other_epochs_seeds_and_rows_draw_anew() -> None:
    made = [by_row(4), by_row(4, epoch=1), by_row(4, seed=1), by_row(4, seed=1, epoch=1)]
    for place, one in enumerate(made):
        assert all((one != other).all() for other in made[place + 1 :])


def test_draws_are_uniform_and_unrelated() -> None:
    rows = torch.arange(20_000)
    draws = torch.cat([row_draws(rows, 2, seed=3, epoch=epoch) for epoch in (0, 1)], dim=1)
    assert draws.min() >= 0 and draws.max() < 1
    for column in draws.T:
        counts = torch.histc(column, 20, 0, 1)
        # A chi-squared of 19 degrees of freedom is above 43.8 once in a thousand times.
        assert ((counts - 1000).square() / 1000).sum() < 43.8
    assert (torch.corrcoef(draws.T) - torch.eye(4)).abs().max() < 0.03
    assert torch.corrcoef(torch.stack([draws[1:, 0], draws[:-1, 0]]))[0, 1].abs() < 0.03


def test_what_is_not_augmented_is_passed_through() -> None:
    table = Batch({"x": torch.zeros(5, 1)}, {"y": torch.arange(5.0)})
    plain = InMemoryStream(table, 2)
    assert with_augmented(plain, {}) is plain
    changed = with_augmented(plain, {"x": Augmentation(1, lambda x, draws: x + 1)})
    assert changed.num_batches(0) == 3 and changed.num_rows(0, 0, 2) == 1
    batch = changed.batch(1, 2, 0)
    assert batch.labels["y"].equal(plain.batch(1, 2, 0).labels["y"])
    assert batch.inputs["x"].eq(1).all() and table.inputs["x"].eq(0).all()


class _Unnumbered(InMemoryStream):
    def batch(self, *place: object) -> Batch:
        return self.table


def test_rows_without_numbers_are_refused() -> None:
    bare = _Unnumbered(Batch({"x": torch.zeros(2)}), 2)
    with pytest.raises(UserError, match="rows are augmented by their numbers"):
        with_augmented(bare, {"x": Augmentation(1, lambda x, draws: x)}).batch(0, 0, 0)
    with pytest.raises(UserError, match="must not be negative"):
        row_draws(torch.arange(2), 1, seed=-1, epoch=0)
