"""Batch: consistent tensors, rows selected alike, labels of all tasks in one selection."""

import dataclasses

import pytest
import torch
from torch import Tensor

from polytask.errors import UserError
from polytask.streams import Batch


def numbered(num_rows: int) -> Batch:
    rows = torch.arange(num_rows)
    return Batch(
        inputs={"numbers": rows.float()[:, None] * 10, "ids": torch.stack([rows, -rows], dim=1)},
        labels={"a": rows.float(), "b": 2 * rows.float(), "classes": rows, "c": -rows.float()},
        weights={"a": rows.float() / 2, "c": rows.float() / 4},
        groups=rows % 7,
        rows=rows + 100,
    )


def rows_of(batch: Batch) -> list[int]:
    """The row numbers of a numbered batch, after a check that all tensors hold the same rows."""
    assert batch.rows is not None and batch.groups is not None
    rows = batch.rows - 100
    assert torch.equal(batch.inputs["numbers"][:, 0], rows * 10.0)
    assert torch.equal(batch.inputs["ids"], torch.stack([rows, -rows], dim=1))
    assert torch.equal(batch.groups, rows % 7)
    for name, times in (("a", 1.0), ("b", 2.0), ("classes", 1), ("c", -1.0)):
        assert torch.equal(batch.labels[name], rows * times), name
    assert list(batch.weights) == ["a", "c"]
    for name, times in (("a", 0.5), ("c", 0.25)):
        assert torch.equal(batch.weights[name], rows * times), name
    return rows.tolist()


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (slice(2, 5), [2, 3, 4]),
        (torch.tensor([4, 0, 4]), [4, 0, 4]),
        (torch.arange(10) > 7, [8, 9]),
        (slice(0, 0), []),
    ],
)
def test_an_index_selects_the_same_rows_of_every_tensor(
    index: Tensor | slice, expected: list[int]
) -> None:
    assert rows_of(numbered(10)[index]) == expected
    assert len(numbered(10)[index]) == len(expected)


def test_slices_are_views() -> None:
    batch = numbered(10)
    part = batch[3:6]
    assert part.inputs["ids"].data_ptr() == batch.inputs["ids"][3:].data_ptr()
    for name in ("a", "classes"):
        assert part.labels[name].data_ptr() == batch.labels[name][3:].data_ptr()


def test_labels_of_several_tasks_are_selected_as_one_tensor() -> None:
    """Two inputs, the float labels, the classes, the weights, groups and rows."""
    assert len(numbered(3).storages()) == 7


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
def test_parts_make_the_whole_and_an_empty_one_is_a_stand_in(count: int) -> None:
    parts = [numbered(10).part(place, count) for place in range(count)]
    real = [part for part in parts if not part.is_stand_in]
    assert [row for part in real for row in rows_of(part)] == list(range(10))
    assert max(map(len, real)) - min(map(len, real)) <= 1
    assert [len(part) for part in parts if part.is_stand_in] == [1] * max(0, count - 10)


def test_a_stand_in_stays_one() -> None:
    stand_in = dataclasses.replace(numbered(1), is_stand_in=True)
    assert stand_in[torch.tensor([0])].is_stand_in and stand_in.to("meta").is_stand_in


def test_a_batch_on_its_device_is_not_copied() -> None:
    batch = numbered(4)
    assert batch.to("cpu") is batch
    moved = batch.to("meta")
    assert {tensor.device.type for tensor in moved.storages()} == {"meta"}
    assert list(moved.labels) == list(batch.labels)


def test_labels_weights_groups_and_rows_may_be_absent() -> None:
    batch = Batch({"x": torch.zeros(4, 2)})[1:3]
    assert len(batch) == 2
    assert (dict(batch.labels), dict(batch.weights)) == ({}, {})
    assert batch.groups is None and batch.rows is None


X = {"x": torch.zeros(4, 2)}
A = {"a": torch.zeros(4)}
WRONG: list[tuple[dict[str, object], str]] = [
    ({"inputs": {}}, "needs an input"),
    ({"inputs": {"x": torch.zeros(())}}, "'x' is one number"),
    ({"inputs": {"x": torch.zeros(3, 2)}, "labels": A}, "differ in length"),
    ({"inputs": X, "labels": {**A, "b": torch.zeros(5)}}, "differ in length.*'b': 5"),
    ({"inputs": X, "labels": A, "weights": {"a": torch.ones(4, 2)}}, "one number a row"),
    ({"inputs": X, "labels": A, "weights": {"A": torch.ones(4)}}, "did you mean 'a'"),
    ({"inputs": X, "groups": torch.zeros(3).long()}, "differ in length"),
    ({"inputs": X, "groups": torch.zeros(4)}, "groups must be one integer"),
    ({"inputs": X, "rows": torch.zeros(4, 1).long()}, "rows must be one integer"),
]


@pytest.mark.parametrize(("tensors", "message"), WRONG)
def test_tensors_that_do_not_fit_are_refused(tensors: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Batch(**tensors)
