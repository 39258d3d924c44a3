"""The order of an epoch: a permutation, repeatable, and the same under a later version."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polytask.errors import UserError
from polytask.streams import epoch_order


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
