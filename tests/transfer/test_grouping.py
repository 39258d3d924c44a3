"""The best partition: against all partitions, under a budget, ties, and many tasks."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytask.transfer.grouping import Group, all_groups, best_partition, mean_incoming


def partitions(tasks: list[int]) -> Iterator[list[Group]]:
    """Every partition, one task at a time: into each group, or into a new one."""
    if not tasks:
        yield []
        return
    *rest, last = tasks
    for smaller in partitions(rest):
        for place in range(len(smaller)):
            yield [(*g, last) if i == place else g for i, g in enumerate(smaller)]
        yield [*smaller, (last,)]


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_no_partition_is_better(seed: int, num_tasks: int, max_models: int) -> None:
    rng = np.random.default_rng(seed)
    values = {group: rng.normal() for group in all_groups(num_tasks)}
    found = best_partition(num_tasks, values.__getitem__, max_models=max_models)
    assert sorted(t for group in found for t in group) == list(range(num_tasks))
    assert len(found) <= max_models
    best = max(
        sum(values[group] for group in each)
        for each in partitions(list(range(num_tasks)))
        if len(each) <= max_models
    )
    assert sum(values[group] for group in found) == pytest.approx(best)


def test_a_group_s_value_is_the_sum_of_mean_incoming_affinities() -> None:
    affinity = np.array([[9.0, 1, 2], [3, 9, 4], [5, np.nan, 9]])
    value = mean_incoming(affinity)
    assert value((0,)) == 0
    assert value((0, 1)) == 1 + 3
    assert value((0, 1, 2)) == pytest.approx((3 + 5) / 2 + (1 + 0) / 2 + (2 + 4) / 2)
    assert affinity[0, 0] == 9, "the caller's matrix stays as it is"


def test_of_equal_partitions_the_one_of_fewer_models_is_taken() -> None:
    assert best_partition(4, lambda group: 0.0) == ((0, 1, 2, 3),)


def test_one_model_is_all_tasks_whatever_that_costs() -> None:
    assert best_partition(3, lambda group: -(len(group) ** 2), max_models=1) == ((0, 1, 2),)


def test_twelve_tasks_take_less_than_ten_seconds() -> None:
    affinity = np.random.default_rng(0).normal(size=(12, 12))
    start = time.process_time()
    found = best_partition(12, mean_incoming(affinity), max_models=4)
    assert time.process_time() - start < 10
    assert len(found) <= 4


def test_many_tasks_are_merged_into_the_blocks_that_they_are_made_of() -> None:
    block = np.arange(15) // 5
    affinity = np.where(block[:, None] == block, 1.0, -1.0)
    found = best_partition(15, mean_incoming(affinity), max_models=5)
    assert found == tuple(tuple(range(5 * b, 5 * b + 5)) for b in range(3))


@pytest.mark.parametrize(("num_tasks", "max_models"), [(0, 1), (2, 0)])
def test_no_task_or_no_model_is_refused(num_tasks: int, max_models: int) -> None:
    with pytest.raises(ValueError, match="there must be a task and a model"):
        best_partition(num_tasks, lambda group: 0.0, max_models=max_models)
