"""RowAdam: where dense Adam has every row, by the rows that a step touches alone."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from polytask.training.row_adam import RowAdam
from polytask.training.skipped_steps import SkippedSteps

NUM_ROWS, WIDTH = 12, 3


def rate_at(step: int) -> float:
    return 0.01 * (1 + math.cos(step / 40)) + 1e-4


def touched_at(step: int, *, seed: int, size: float) -> tuple[Tensor, Tensor]:
    """The rows of a step, often few and sometimes none, and their gradient."""
    generator = torch.Generator().manual_seed(1000 * seed + step)
    chance = torch.tensor([0.9, 0.3, 0.1, *[0.02] * (NUM_ROWS - 5), 0.005, 0.0])
    rows_U = (torch.rand(NUM_ROWS, generator=generator) < chance).nonzero().squeeze(1)
    values_UK = size * torch.randn(len(rows_U), WIDTH, generator=generator, dtype=torch.float64)
    return rows_U, values_UK


def sparse(rows_U: Tensor, values_UK: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(
        rows_U[None], values_UK, (NUM_ROWS, WIDTH), check_invariants=False
    )


def take(optimizer: RowAdam, table: Tensor, step: int, *, seed: int, size: float) -> Tensor:
    """One step as training takes it; the rows that it read."""
    rows_U, values_UK = touched_at(step, seed=seed, size=size)
    optimizer.catch_up(table, rows_U)
    read_UK = table.detach()[rows_U].clone()
    table.grad = sparse(rows_U, values_UK)
    optimizer.param_groups[0]["lr"] = rate_at(step)
    optimizer.step()
    return read_UK


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-9, 1e-7, 1e-5, 1e-2, 10.0]))
def test_all_that_is_read_is_what_dense_adam_has(seed: int, size: float) -> None:
    """Gradients far above Adam's epsilon, of its size and below it; rows that are touched once."""
    mine = torch.zeros(NUM_ROWS, WIDTH, dtype=torch.float64).requires_grad_()
    dense = mine.detach().clone().requires_grad_()
    optimizer, reference = RowAdam([mine], learning_rate=1.0), torch.optim.Adam([dense], lr=1.0)
    for step in range(400):
        rows_U, values_UK = touched_at(step, seed=seed, size=size)
        expected_UK = dense.detach()[rows_U].clone()
        read_UK = take(optimizer, mine, step, seed=seed, size=size)
        torch.testing.assert_close(read_UK, expected_UK, rtol=1e-5, atol=1e-8)
        dense.grad = sparse(rows_U, values_UK).to_dense()
        reference.param_groups[0]["lr"] = rate_at(step)
        reference.step()
        if step in (20, 250):
            optimizer.settle()
            torch.testing.assert_close(mine, dense, rtol=1e-5, atol=1e-8)
    optimizer.settle()
    torch.testing.assert_close(mine, dense, rtol=1e-5, atol=1e-8)
    assert not mine[-1].any(), "no step touched the last row"


def test_rows_that_no_batch_reads_are_left_alone() -> None:
    table = torch.zeros(NUM_ROWS, WIDTH, dtype=torch.float64).requires_grad_()
    optimizer = RowAdam([table], learning_rate=0.1)
    once = torch.tensor([5])
    table.grad = sparse(once, torch.ones(1, WIDTH, dtype=torch.float64))
    optimizer.step()
    there = table.detach()[5].clone()
    optimizer.catch_up(table, torch.tensor([1, 2]))
    assert not table[1:3].any(), "what was never touched does not move"
    table.grad = sparse(torch.tensor([1]), torch.ones(1, WIDTH, dtype=torch.float64))
    optimizer.step()
    assert torch.equal(table[5], there), "it lags behind until it is read"
    optimizer.catch_up(table, once)
    assert (table[5] < there).all()


@pytest.mark.parametrize("broken_at", [3, 127, 128, 129, 260])
def test_a_restored_state_goes_on_to_the_bit(broken_at: int) -> None:
    through = torch.zeros(NUM_ROWS, WIDTH, dtype=torch.float64).requires_grad_()
    broken = through.detach().clone().requires_grad_()
    whole, first = RowAdam([through], learning_rate=1.0), RowAdam([broken], learning_rate=1.0)
    for step in range(300):
        take(whole, through, step, seed=1, size=1e-3)
        if step < broken_at:
            take(first, broken, step, seed=1, size=1e-3)
        for optimizer, number in ((whole, 300), (first, broken_at)):
            if step == 200 and step < number:
                optimizer.settle()
    second = RowAdam([broken], learning_rate=1.0)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for slots in first.state_dict()["state"].values():
        for tensor in slots.values():
            tensor.add_(1)  # what was loaded is a copy
    for step in range(broken_at, 300):
        take(second, broken, step, seed=1, size=1e-3)
        if step == 200:
            second.settle()
    assert torch.equal(through, broken)


def test_a_dense_gradient_moves_all_rows() -> None:
    mine = torch.randn(NUM_ROWS, WIDTH).requires_grad_()
    dense = mine.detach().clone().requires_grad_()
    optimizer, reference = RowAdam([mine], learning_rate=0.1), torch.optim.Adam([dense], lr=0.1)
    for _ in range(3):
        mine.grad = torch.randn(NUM_ROWS, WIDTH)
        dense.grad = mine.grad.clone()
        optimizer.step()
        reference.step()
    torch.testing.assert_close(mine, dense)


def test_a_state_of_other_tables_is_refused() -> None:
    table = torch.zeros(NUM_ROWS, WIDTH).requires_grad_()
    state = RowAdam([table], learning_rate=0.1).state_dict()
    with pytest.raises((ValueError, LookupError)):
        RowAdam([torch.zeros(3, WIDTH)], learning_rate=0.1).load_state_dict(state)


def test_the_closed_form_is_the_sum_of_the_steps() -> None:
    steps, s, t = SkippedSteps(), 140, 171
    for step in range(1, t + 1):
        steps.add(step, rate_at(step))
    weights, nodes = steps.nodes(np.array([s]))
    for root in (1e-10, 1e-8, 1e-6, 1e-3):
        terms = [
            rate_at(j)
            * 0.9 ** (j - s)
            / (1 - 0.9**j)
            / (root * 0.999 ** ((j - s) / 2) / np.sqrt(1 - 0.999**j) + 1e-8)
            for j in range(s + 1, t + 1)
        ]
        found = float((weights / (root + 1e-8 * nodes)).sum())
        assert found == pytest.approx(sum(terms), rel=1e-5)
