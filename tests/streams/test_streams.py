"""Laws of streams: a pure function, every row once an epoch, parts that make the whole."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from polytask.errors import UserError
from polytask.streams import (
    Batch,
    InMemoryStream,
    LaneStream,
    Mixture,
    Stream,
    epoch_order,
    with_generated,
)
from polytask.streams.extended import with_rows


def table(num_rows: int, start: int = 0, task: str = "a") -> Batch:
    rows = torch.arange(start, start + num_rows)
    return Batch({"x": rows[:, None].float()}, {task: rows.float(), "same": -rows.float()})


def numbered(num_rows: int) -> Batch:
    return replace(table(num_rows), rows=torch.arange(num_rows))


def random_targets(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """One is of the row alone; one is drawn, and depends on the whole batch."""
    drawn = torch.rand(len(batch), generator=generator)
    return {"copy": batch.inputs["x"][:, 0] * 2, "drawn": drawn - drawn.mean()}


def mixture() -> Mixture:
    return Mixture(
        [
            InMemoryStream(table(20), 8),
            InMemoryStream(table(9, start=100), 4),
            with_generated(InMemoryStream(table(7, start=200), 5), lambda batch, generator: {}),
        ]
    )


MAKE: dict[str, Callable[[], Stream]] = {
    "in memory": lambda: InMemoryStream(table(50), 8),
    "in memory, one batch": lambda: InMemoryStream(table(3), 8),
    "by length": lambda: InMemoryStream(table(50), 8, lengths_B=torch.arange(50) % 7),
    "lanes": lambda: LaneStream(numbered(50), 8, window_rows=24),
    "lanes, one window": lambda: LaneStream(numbered(50), 8),
    "lanes, fewer rows than lanes": lambda: LaneStream(numbered(3), 8),
    "mixture": mixture,
    "generated": lambda: with_generated(InMemoryStream(table(50), 8), random_targets),
}
streams = pytest.mark.parametrize("make", [pytest.param(m, id=name) for name, m in MAKE.items()])


def tensors(batch: Batch) -> dict[str, Tensor]:
    named = {f"input {name}": tensor for name, tensor in batch.inputs.items()}
    named |= {f"label {name}": tensor for name, tensor in batch.labels.items()}
    return named | {"rows": batch.rows, "stand-in": torch.tensor(batch.is_stand_in)}


def require_equal(left: Batch, right: Batch) -> None:
    mine, theirs = tensors(left), tensors(right)
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert torch.equal(tensor, theirs[name]), name


def epoch_of(stream: Stream, seed: int, epoch: int) -> list[Batch]:
    return [stream.batch(seed, epoch, index) for index in range(stream.num_batches(epoch))]


def values_of(batches: list[Batch]) -> list[float]:
    return [value for batch in batches for value in batch.inputs["x"][:, 0].tolist()]


@streams
def test_a_batch_is_a_function_of_its_arguments(make: Callable[[], Stream]) -> None:
    """In any order, from any state of torch's generator, from the same stream or a fresh one."""
    places = list(itertools.product((0, 5), (0, 1), range(make().num_batches(0))))
    stream = make()
    first = {place: stream.batch(*place) for place in places}
    torch.manual_seed(99)
    for place in reversed(places):
        require_equal(stream.batch(*place), first[place])
        require_equal(make().batch(*place), first[place])
    before = torch.get_rng_state()
    make().batch(3, 1, 0)
    assert torch.equal(torch.get_rng_state(), before)


@streams
def test_every_row_comes_once_an_epoch_and_batches_have_the_rows_that_are_told(
    make: Callable[[], Stream],
) -> None:
    stream = make()
    for epoch in range(3):
        batches = epoch_of(stream, 0, epoch)
        values = values_of(batches)
        assert len(set(values)) == len(values)
        assert sorted(values) == sorted(values_of(epoch_of(stream, 0, 0)))
        told = [stream.num_rows(0, epoch, index) for index in range(len(batches))]
        assert [len(batch) for batch in batches] == told


@streams
def test_epochs_and_seeds_have_orders_of_their_own(make: Callable[[], Stream]) -> None:
    if make().num_batches(0) == 1:
        pytest.skip("three rows have few orders")
    places = itertools.product(range(3), range(3))
    assert len({tuple(values_of(epoch_of(make(), *place))) for place in places}) == 9


@streams
@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_the_parts_of_a_batch_are_the_batch(make: Callable[[], Stream], count: int) -> None:
    stream = make()
    for index in range(stream.num_batches(0)):
        whole = stream.batch(1, 0, index)
        parts = [stream.batch(1, 0, index, part=(place, count)) for place in range(count)]
        real = [part for part in parts if not part.is_stand_in]
        assert max(map(len, real)) - min(map(len, real)) <= 1
        joined = {name: [tensors(part)[name] for part in real] for name in tensors(whole)}
        for name, tensor in tensors(whole).items():
            if name != "stand-in":
                assert torch.equal(torch.cat(joined[name]), tensor), name
        # A part without a row has one that counts in no loss.
        stand_ins = [part for part in parts if part.is_stand_in]
        assert len(stand_ins) == max(0, count - len(whole))
        assert all(len(part) == 1 for part in stand_ins)


@settings(max_examples=60, deadline=None)
@given(num_rows=st.integers(1, 40), batch_size=st.integers(1, 12), seed=st.integers(0, 3))
def test_in_memory_batches_are_the_rows_in_the_epochs_order(
    num_rows: int, batch_size: int, seed: int
) -> None:
    batches = epoch_of(InMemoryStream(table(num_rows), batch_size), seed, 2)
    order = epoch_order(num_rows, seed=seed, epoch=2).tolist()
    assert values_of(batches) == order
    assert [row for batch in batches for row in batch.rows.tolist()] == order
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_a_mixture_has_every_batch_of_its_streams_once() -> None:
    """Of one stream each, with the labels of that stream alone, in an order of their own."""
    streams = [InMemoryStream(table(20, task="a"), 8), InMemoryStream(table(9, 100, "b"), 4)]
    mixed = Mixture(streams)
    batches = epoch_of(mixed, 3, 2)
    assert len(batches) == mixed.num_batches(2) == 6
    for number, task in enumerate("ab"):
        mine = [batch for batch in batches if task in batch.labels]
        assert all(set(batch.labels) == {task, "same"} for batch in mine)
        found = {tuple(values_of([batch])) for batch in mine}
        assert found == {tuple(values_of([batch])) for batch in epoch_of(streams[number], 3, 2)}
    orders = {tuple("a" in b.labels for b in epoch_of(mixed, seed, 0)) for seed in range(20)}
    assert len(orders) > 5


def test_generated_targets_are_beside_the_labels_or_in_their_place() -> None:
    stream = with_generated(InMemoryStream(table(6), 6), random_targets)
    batch = stream.batch(0, 0, 0)
    assert sorted(batch.labels) == ["a", "copy", "drawn", "same"]
    assert torch.equal(batch.labels["copy"], 2 * batch.labels["a"])
    drawn = {
        tuple(stream.batch(*place).labels["drawn"].tolist())
        for place in ((0, 0, 0), (0, 1, 0), (1, 0, 0))
    }
    assert len(drawn) == 3
    halves = with_generated(InMemoryStream(table(6), 3), random_targets)
    assert not torch.equal(*(halves.batch(0, 0, index).labels["drawn"] for index in (0, 1)))
    replaced = with_generated(stream, lambda batch, _: {"a": -batch.labels["a"]}).batch(0, 0, 0)
    assert torch.equal(replaced.labels["a"], -batch.labels["a"])


def test_rows_that_have_numbers_keep_them() -> None:
    numbered = Batch({"x": torch.arange(5)}, rows=torch.arange(5) * 11)
    batch = InMemoryStream(numbered, 5).batch(0, 0, 0)
    assert torch.equal(batch.rows, batch.inputs["x"] * 11)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InMemoryStream(table(3), 0), "batch_size=0"),
        (lambda: InMemoryStream(table(0), 1), "no rows"),
        (lambda: InMemoryStream(table(3), 1, lengths_B=torch.ones(2)), "3 rows, but 2 lengths"),
        (lambda: InMemoryStream(table(3), 2).batch(0, 0, 2), "no batch 2 in an epoch of 2"),
        (lambda: InMemoryStream(table(3), 2).batch(0, 0, 0, part=(2, 2)), "no part 2 of 2"),
        (lambda: InMemoryStream(table(3), 2).batch(-1, 0, 0), "seed=-1"),
        (lambda: Mixture([]), "a stream or more"),
        (lambda: mixture().batch(0, 0, 99), "no batch 99 in an epoch of 8"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_rows_that_are_added_are_counted(share: float) -> None:
    def unchanged(rows: Batch, _: torch.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return dict(rows.inputs), {"is new": torch.ones(len(rows))}

    stream = with_rows(InMemoryStream(table(50), 8), unchanged, share=share)
    for index in range(stream.num_batches(0)):
        batch = stream.batch(0, 0, index)
        assert stream.num_rows(0, 0, index) == len(batch)
        assert batch.labels["is new"].nansum() == math.ceil(len(batch) * share / (1 + share))
