"""The order of an epoch: a permutation, repeatable, and the same under a later version."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polytask.errors import UserError
from polytask.streams import epoch_order, order_by_length


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 500), st.integers(0, 2**40), st.integers(0, 1000))
def test_epoch_order_is_a_permutation_and_a_function_of_seed_and_epoch(
    num_rows: int, seed: int, epoch: int
) -> None:
    before = torch.random.get_rng_state()
    order = epoch_order(num_rows, seed=seed, epoch=epoch)
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(num_rows))
    torch.manual_seed(17)
    assert torch.equal(order, epoch_order(num_rows, seed=seed, epoch=epoch))
    torch.random.set_rng_state(before)


def test_epoch_order_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    epoch_order(100, seed=0, epoch=0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        tuple(epoch_order(50, seed=seed, epoch=epoch).tolist())
        for seed in range(10)
        for epoch in range(10)
    }
    assert len(orders) == 100


def test_epoch_order_stays_as_it_was() -> None:
    # Made by epoch_order(8, seed=3, epoch=5) itself: a run resumed under a later version of
    # polytask has to see the same rows.
    assert epoch_order(8, seed=3, epoch=5).tolist() == [3, 4, 2, 5, 1, 6, 7, 0]


def test_negative_seeds_are_refused() -> None:
    with pytest.raises(UserError, match="seed=-1"):
        epoch_order(3, seed=-1, epoch=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=300), st.integers(1, 20), st.integers(0, 9))
def test_the_order_by_length_is_a_permutation_of_full_batches(
    lengths: list[int], batch_size: int, seed: int
) -> None:
    lengths_B = torch.tensor(lengths, dtype=torch.int64)
    order = order_by_length(lengths_B, batch_size, seed=seed, epoch=2, window=3)
    assert sorted(order.tolist()) == list(range(len(lengths)))
    again = order_by_length(lengths_B, batch_size, seed=seed, epoch=2, window=3)
    assert torch.equal(order, again)


def test_batches_by_length_are_sorted_within_a_window_and_shuffled() -> None:
    lengths_B = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    order = order_by_length(lengths_B, 10, seed=0, epoch=0, window=100)
    starts = [int(batch_B.min()) for batch_B in lengths_B[order].split(10)]
    assert sorted(starts) == list(range(0, 1000, 10)) and starts != sorted(starts)
    other = order_by_length(lengths_B, 10, seed=0, epoch=1, window=100)
    assert [int(b.min()) for b in lengths_B[other].split(10)] != starts


def test_the_order_by_length_stays_as_it_was() -> None:
    # Made by order_by_length itself, as that of epoch_order: a resumed run has to see the same rows.
    lengths_B = torch.tensor([5, 1, 5, 1, 5, 1, 9])
    assert order_by_length(lengths_B, 3, seed=0, epoch=0).tolist() == [0, 4, 2, 1, 5, 3, 6]
