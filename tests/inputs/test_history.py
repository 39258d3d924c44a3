"""Histories: counts and means against a plain loop, blocks of time, and what it never sees."""

import json
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from polytask.errors import UserError
from polytask.inputs import KeyHistory


def made_log(num_rows: int = 300, seed: int = 0) -> tuple[pa.Table, dict[str, NDArray[np.float64]]]:
    random = np.random.default_rng(seed)
    users = random.choice(["ann", "bo", None, "cy"], num_rows)
    table = pa.table(
        {
            "user": pa.array(users.tolist()),
            "tag": random.integers(0, 3, num_rows),
            "at": random.uniform(0, 50, num_rows),
        }
    )
    click_B = random.integers(0, 2, num_rows).astype(float)
    click_B[::7] = np.nan
    return table, {"click": click_B, "watch": random.exponential(3, num_rows)}


def by_hand(
    rows: list[dict[str, object]],
    train: list[dict[str, object]],
    labels_B: NDArray[np.float64],
    key: tuple[str, ...],
    *,
    width: float,
    smoothing: float,
) -> list[tuple[float, float]]:
    """log(1 + rows) and smoothed mean, row by row, by the definition."""
    end = max(row["at"] for row in train)
    overall, found = np.nanmean(labels_B), []
    for row in rows:
        # Blocks are counted backwards from the last training row, which belongs to the last one.
        past = row["at"] > end or np.floor((end - row["at"]) / width)
        seen = [
            label
            for other, label in zip(train, labels_B)
            if None not in [row[name] for name in key]
            and all(row[name] == other[name] for name in key)
            and (past is True or np.floor((end - other["at"]) / width) > past)
        ]
        known = [label for label in seen if not np.isnan(label)]
        mean = (sum(known) + smoothing * overall) / (len(known) + smoothing)
        found.append((float(np.log1p(len(seen))), mean))
    return found


@pytest.mark.parametrize("key", [("user",), ("tag",), ("user", "tag")])
def test_it_is_what_a_loop_over_all_rows_finds(key: tuple[str, ...]) -> None:
    table, targets = made_log()
    past = KeyHistory.fit(
        table, ["user", "tag", "at"], time="at", keys=[key], targets=targets, width=4, smoothing=5
    )
    later, _ = made_log(seed=1)
    later = later.set_column(2, "at", pa.array(np.linspace(-20, 80, len(later))))
    for rows in (table, later):
        seen = past.observed(rows)
        for target, labels_B in targets.items():
            expected = by_hand(
                rows.to_pylist(), table.to_pylist(), labels_B, key, width=4, smoothing=5
            )
            name = " * ".join(key)
            columns = [seen[f"{name}: rows before"], seen[f"{name}: mean of {target} before"]]
            np.testing.assert_allclose(np.stack(columns, axis=1), expected, rtol=1e-9)


def test_no_label_of_a_row_s_own_block_reaches_it() -> None:
    """Other labels from some time on change nothing before it, nor in the block that has it."""
    table, targets = made_log()
    at_B = table["at"].to_numpy()
    changed = {
        name: np.where(at_B >= 30, 1 - labels_B, labels_B) for name, labels_B in targets.items()
    }
    first, second = (
        KeyHistory.fit(table, ["user", "at"], time="at", targets=each, width=50 / 10)
        for each in (targets, changed)
    )
    names = [name for name in first.observed(table).column_names if "mean" in name]
    overall = dict(zip(targets, np.array(first.means) - np.array(second.means)))
    assert all(overall.values())
    ends = at_B.max() - 5 * np.arange(11)
    early_B = at_B < ends[ends > 30].min()
    for name in names:
        ours, theirs = (np.array(past.observed(table)[name]) for past in (first, second))
        seen_B = np.expm1(np.array(first.observed(table)["user: rows before"]))
        # Only the overall mean, to which means are drawn, is another.
        target = name.split(" of ")[1].removesuffix(" before")
        drawn_B = early_B & (seen_B == 0)
        np.testing.assert_allclose(ours[drawn_B] - theirs[drawn_B], overall[target])
        assert (np.abs(ours - theirs)[early_B] <= abs(overall[target]) + 1e-12).all()
    assert not np.allclose(
        *(np.array(past.observed(table)[names[0]])[~early_B] for past in (first, second))
    )


def test_times_of_every_sort_part_the_past_alike() -> None:
    start = datetime(2024, 1, 1)
    days = [0, 1, 1, 2, 5]
    users = ["a", "a", "b", "a", "a"]
    clicks = {"click": np.array([1.0, 0.0, 1.0, 1.0, 0.0])}
    as_times = pa.array([start + timedelta(days=day) for day in days])
    tables = [
        pa.table({"user": users, "at": pa.array(days)}),
        pa.table({"user": users, "at": as_times}),
        pa.table({"user": users, "at": [str(time) for time in as_times.to_pylist()]}),
    ]
    widths = [1, 86_400_000_000, 86_400_000_000]
    seen = [
        KeyHistory.fit(table, ["user", "at"], time="at", targets=clicks, width=width).observed(
            table
        )
        for table, width in zip(tables, widths)
    ]
    assert seen[0].equals(seen[1]) and seen[0].equals(seen[2])
    rows = np.expm1(seen[0]["user: rows before"].to_numpy()).round()
    assert rows.tolist() == [0, 1, 0, 2, 3]


def test_a_row_without_a_time_knows_all() -> None:
    table = pa.table({"user": ["a", "a"], "at": [1.0, 2.0]})
    past = KeyHistory.fit(table, ["user", "at"], time="at")
    now = pa.table({"user": ["a", "a", "a"], "at": [None, 3.0, float("nan")]})
    assert np.expm1(np.array(past.observed(now)[0])).round().tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "time_column"),
        ({"time": "when"}, "time_column"),
        ({"time": "at", "smoothing": -1.0}, "smoothing"),
        ({"time": "at", "width": 1e-9}, "10,000 at most"),
    ],
)
def test_what_makes_no_history(options: dict[str, object], match: str) -> None:
    table = pa.table({"user": ["a", "b"], "at": [1.0, 2.0]})
    with pytest.raises(UserError, match=match):
        KeyHistory.fit(table, ["user", "at"], **options)
    with pytest.raises(UserError, match="no training row has a time"):
        KeyHistory.fit(pa.table({"user": ["a"], "at": [None]}), ["user", "at"], time="at")


def day_of_log(number: int) -> tuple[pa.Table, dict[str, NDArray[np.float64]]]:
    """Fifty units of time after the day before, with a user and a tag of its own."""
    table, targets = made_log(seed=number)
    users = [
        name and f"{name}{number if name == 'cy' else ''}" for name in table["user"].to_pylist()
    ]
    at_B = table["at"].to_numpy() + 50 * number
    table = pa.table({"user": users, "tag": table["tag"].to_numpy() + number, "at": at_B})
    return table, targets


@pytest.mark.parametrize("key", [("user",), ("tag",), ("user", "tag")])
def test_what_earlier_runs_observed_counts_from_their_end_on(key: tuple[str, ...]) -> None:
    """Over three days, against a loop: a row knows all earlier days, and the blocks before its own of its day."""
    days = [day_of_log(number) for number in range(3)]
    options = {"time": "at", "keys": [key], "width": 4, "smoothing": 5}
    fits = [KeyHistory.fit(table, ["user", "tag", "at"], targets=t, **options) for table, t in days]  # type: ignore[arg-type]
    chain = fits[0]
    for each in fits[1:]:
        grown = chain.grown(each)
        assert isinstance(grown, KeyHistory)
        chain = KeyHistory.from_record(json.loads(json.dumps(grown.to_record())))
    assert chain == grown and chain.scales == fits[0].scales and chain.means == fits[0].means
    late, _ = day_of_log(2)
    late = late.set_column(2, "at", pa.array(np.linspace(101, 200, len(late))))
    name = " * ".join(key)
    for rows in (days[2][0], late):
        seen = chain.observed(rows)
        for target, overall in zip(days[0][1], chain.means):
            expected = [
                _of_the_past(row, days, target, key, overall=overall) for row in rows.to_pylist()
            ]
            columns = [seen[f"{name}: rows before"], seen[f"{name}: mean of {target} before"]]
            np.testing.assert_allclose(np.stack(columns, axis=1), expected, rtol=1e-9)
    # A row from before the second day's end knows that day's blocks alone, never a label of later.
    early = days[1][0]
    counts = np.expm1(np.array(chain.observed(early)[f"{name}: rows before"]))
    assert not counts.any()


def _of_the_past(
    row: dict[str, object],
    days: list[tuple[pa.Table, dict[str, NDArray[np.float64]]]],
    target: str,
    key: tuple[str, ...],
    *,
    overall: float,
) -> tuple[float, float]:
    """log(1 + rows) and smoothed mean of a row of the last day or behind it."""
    num_rows, labels = 0, []
    end = max(days[-1][0]["at"].to_pylist())
    for number, (table, targets) in enumerate(days):
        for other, label in zip(table.to_pylist(), targets[target]):
            is_same = all(row[name] is not None and row[name] == other[name] for name in key)
            block = np.floor((end - other["at"]) / 4)
            is_before = number < 2 or row["at"] > end or block > np.floor((end - row["at"]) / 4)
            if is_same and is_before:
                num_rows += 1
                labels += [] if np.isnan(label) else [label]
    return float(np.log1p(num_rows)), (sum(labels) + 5 * overall) / (len(labels) + 5)


def test_a_history_of_other_keys_or_labels_starts_anew() -> None:
    table, targets = made_log()
    first = KeyHistory.fit(table, ["user", "at"], time="at", targets=targets)
    other = KeyHistory.fit(table, ["user", "at"], time="at", targets={"click": targets["click"]})
    numbered = table.set_column(0, "user", table["tag"])
    for later in (other, KeyHistory.fit(numbered, ["user", "at"], time="at", targets=targets)):
        assert not first.goes_on(later) and first.grown(later) is later
