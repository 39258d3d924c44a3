"""Shares of classes among a key's earlier rows: against a loop, and in a whole fit."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

import polytask
from polytask.auxiliary import KeyHistogram, TrainingRows
from polytask.auxiliary.histogram import earlier_sums
from polytask.errors import UserError
from polytask.inputs import FittedInputs
from polytask.model.outputs import Outputs
from polytask.streams import Batch

NUM_ROWS = 300


@pytest.fixture(scope="module")
def rows() -> TrainingRows:
    random = np.random.default_rng(0)
    table = pa.table(
        {
            "x": random.normal(size=NUM_ROWS),
            "user": pa.array(random.integers(0, 25, NUM_ROWS), mask=random.random(NUM_ROWS) < 0.05),
            "tag": pa.array(
                random.choice(["a", "b", "c"], NUM_ROWS), mask=random.random(NUM_ROWS) < 0.1
            ),
            "at": random.integers(0, 40, NUM_ROWS),
            "click": (random.random(NUM_ROWS) < 0.6).astype(int),
        }
    )
    inputs = FittedInputs.fit(table, {"numeric": ["x"]})
    return TrainingRows(table, inputs, inputs.encode(table))


def by_hand(rows: TrainingRows, *, where: bool, time: bool) -> np.ndarray:
    found = np.full((NUM_ROWS, 3), np.nan)
    table = rows.table.to_pylist()
    classes = KeyHistogram.fit(rows, key="user", column="tag").classes
    for place, row in enumerate(table):
        counts = dict.fromkeys(classes, 0)
        for other_place, other in enumerate(table):
            is_before = other["at"] < row["at"] if time else other_place != place
            counted = other["click"] == 1 or not where
            is_same = row["user"] is not None and other["user"] == row["user"]
            if is_same and is_before and counted and other["tag"] is not None:
                counts[other["tag"]] += 1
        total = sum(counts.values())
        if total:
            found[place] = [counts[name] / total for name in classes]
    return found


@pytest.mark.parametrize("where", [False, True])
@pytest.mark.parametrize("time", [False, True])
def test_shares_are_those_of_a_loop(rows: TrainingRows, where: bool, time: bool) -> None:
    options = {"where": "click"} if where else {}
    options |= {"time": "at"} if time else {}
    histogram = KeyHistogram.fit(rows, key="user", column="tag", **options)
    found_BK = histogram.labels(rows)["histogram"].numpy()
    np.testing.assert_allclose(found_BK, by_hand(rows, where=where, time=time), atol=1e-6)
    assert 0.1 < np.isnan(found_BK).any(axis=1).mean() < 0.5 if time else True


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 9)), max_size=20))
def test_earlier_sums_are_those_of_a_loop(entries: list[tuple[int, int, int]]) -> None:
    key, time, value = (np.array([e[i] for e in entries], dtype=float) for i in range(3))
    found = earlier_sums(key.astype(int), time, value[:, None].astype(np.float32))
    expected = [
        sum(v for k, t, v in zip(key, time, value) if k == mine and t < now)
        for mine, now in zip(key, time)
    ]
    np.testing.assert_allclose(found[:, 0], expected)


def test_the_loss_is_the_cross_entropy_with_the_shares(rows: TrainingRows) -> None:
    torch.manual_seed(0)
    histogram = KeyHistogram.fit(rows, key="user", column="tag", time="at")
    labels_BK = histogram.labels(rows)["histogram"]
    loss, features_BH = histogram.objective(4, num_steps=1), torch.randn(NUM_ROWS, 4)
    batch = Batch(rows.encoded, {"histogram": labels_BK})
    found_B = loss(Outputs([], [], [features_BH], (), features_BH), batch)
    expected_B = -(labels_BK * functional.log_softmax(loss.head(features_BH), dim=1)).sum(dim=1)
    known_B = loss.row_weights(batch) > 0
    assert torch.equal(known_B, ~labels_BK.isnan()[:, 0]) and 0 < known_B.sum() < NUM_ROWS
    torch.testing.assert_close(found_B[known_B], expected_B[known_B])
    assert found_B.isfinite().all()


def test_a_user_s_taste_is_learned_in_a_fit() -> None:
    """Each user clicks one class: the loss falls far below that of the even guess, log 3."""
    random = np.random.default_rng(0)
    user = random.integers(0, 12, 900)
    table = pa.table(
        {
            "user": user.astype(str).tolist(),
            "tag": np.array(["a", "b", "c"])[user % 3].tolist(),
            "y": random.normal(size=900),
            "at": np.arange(900),
            "click": random.integers(0, 2, 900),
        }
    )
    spec = {"name": "histogram", "key": "user", "column": "tag", "time": "at", "where": "click"}
    run = polytask.fit(
        *(table, ["y:regression"]),
        auxiliary={**spec, "weight": "balanced"},
        inputs="user",
        trunk={"name": "shared_bottom", "hidden": [16]},
        batch_size=90,
        epochs=10,
        learning_rate=0.02,
        baseline="none",
        ensemble=1,
        threads=1,
        intervals=False,
        log_every=1,
    )
    losses = [step.losses["histogram"] for step in run.history if hasattr(step, "weights")]
    assert losses[0] > 0.8 and losses[-1] < 0.3


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "needs a key and a column"),
        ({"key": "user", "column": "tagg"}, "lacks a column: 'tagg'"),
        ({"key": "user", "column": "x"}, "300 different values"),
        ({"key": "x", "column": "tag", "time": "tag"}, "numbers are needed"),
    ],
)
def test_bad_options(rows: TrainingRows, options: dict[str, str], match: str) -> None:
    with pytest.raises(UserError, match=match):
        KeyHistogram.fit(rows, **options).labels(rows)
