"""The relation of ESMM: joint labels, conflicts between child and parent, chains."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from polytask.data.labels import GivenConflict, LabelCount, LabelEncoder
from polytask.data.readers import read_table
from polytask.errors import UserError
from polytask.kinds import Regression
from polytask.task import Task, binary

NAN = math.nan


def assert_labels(found: Sequence[float], expected: Sequence[float]) -> None:
    np.testing.assert_array_equal(np.array(found), np.array(expected))


YES_NO_MISSING = (1.0, 0.0, NAN)
# Joint labels of (parent, child), as section 3 of the design has them.
JOINT = {
    (1.0, 1.0): 1.0,
    (1.0, 0.0): 0.0,
    (1.0, NAN): NAN,
    (0.0, 1.0): 0.0,
    (0.0, 0.0): 0.0,
    (0.0, NAN): 0.0,
    (NAN, 1.0): NAN,
    (NAN, 0.0): NAN,
    (NAN, NAN): NAN,
}
AT_CONFLICT: dict[GivenConflict, float] = {"stop": 0.0, "drop": NAN, "keep-child": 1.0}


def related(pairs: Sequence[tuple[float, float]]) -> pa.Table:
    parent, child = zip(*pairs)
    return pa.table({"click": pa.array(parent), "like": pa.array(child)})


CLICK = binary("click", "click")
LIKE = binary("like", "like", given="click")
CLEAN = [(1.0, 1.0), (1.0, 0.0), (0.0, 0.0)] * 1000


@pytest.mark.parametrize(("conflict", "at_conflict"), AT_CONFLICT.items())
@pytest.mark.parametrize("targets", [(CLICK, LIKE), (LIKE, CLICK)])
def test_joint_labels_of_all_combinations(
    conflict: GivenConflict, at_conflict: float, targets: tuple[Task, ...]
) -> None:
    encoder = LabelEncoder.fit(related(CLEAN), targets, given_conflict=conflict)
    encoder = LabelEncoder.from_dict(encoder.to_dict())
    pairs = list(itertools.product(YES_NO_MISSING, repeat=2))
    labels_BT = encoder.encode(related(pairs)).labels_BT
    expected = [at_conflict if pair == (0.0, 1.0) else JOINT[pair] for pair in pairs]
    assert_labels(labels_BT[:, targets.index(LIKE)].tolist(), expected)
    assert_labels(labels_BT[:, targets.index(CLICK)].tolist(), [parent for parent, _ in pairs])
    counts = encoder.encode(related(pairs)).counts
    assert counts[targets.index(LIKE)].conflicts == 1


def test_conflicts_up_to_a_thousandth_are_noise() -> None:
    noisy = related([*CLEAN[:-3], *[(0.0, 1.0)] * 3])
    encoder = LabelEncoder.fit(noisy, [CLICK, LIKE])
    assert encoder.encode(noisy).labels_BT[-1].tolist() == [0, 0]
    assert encoder.tasks[1].given == "click"
    worse = related([*CLEAN[:-4], *[(0.0, 1.0)] * 4])
    with pytest.raises(UserError, match=r"4 training rows .* drop .*keep-child .*ignore-relation"):
        LabelEncoder.fit(worse, [CLICK, LIKE])


def test_conflicts_are_a_share_of_the_rows_where_both_are_labelled() -> None:
    pairs = [*CLEAN[:999], (0.0, 1.0), (0.0, 1.0), *[(NAN, 0.0), (0.0, NAN)] * 5000]
    with pytest.raises(UserError, match=r"0\.20% of the labelled rows"):
        LabelEncoder.fit(related(pairs), [CLICK, LIKE])


def test_ignoring_the_relation_cuts_where_needed_alone() -> None:
    table = related([*CLEAN, *[(0.0, 1.0)] * 100, (NAN, 1.0), (0.0, NAN)])
    table = table.append_column("follow", table["click"])
    follow = binary("follow", "follow", given="click")
    encoder = LabelEncoder.fit(table, [CLICK, LIKE, follow], given_conflict="ignore-relation")
    assert [task.given for task in encoder.tasks] == [None, None, "click"]
    assert_labels(encoder.encode(table).labels_BT[-3:, 1].tolist(), [1, 1, NAN])


def test_a_grandchild_rests_on_its_parents_joint_label() -> None:
    table = pa.table(
        {
            "click": pa.array([1, 1, 1, 0, 0, None] * 300, pa.int8()),
            "cart": pa.array([1, 1, 0, 0, None, 1] * 300, pa.int8()),
            "buy": pa.array([1, 0, None, None, None, 1] * 300, pa.int8()),
        }
    )
    targets = [
        binary("buy", "buy", given="cart"),
        binary("cart", "cart", given="click"),
        binary("click", "click"),
    ]
    labels_BT = LabelEncoder.fit(table, targets).encode(table).labels_BT[:6]
    assert_labels(labels_BT[:, 0].tolist(), [1, 0, 0, 0, 0, NAN])
    assert_labels(labels_BT[:, 1].tolist(), [1, 1, 0, 0, 0, NAN])


def test_wrong_relations_are_told() -> None:
    table = related(CLEAN)
    with pytest.raises(UserError, match="'clik', which is no task - did you mean 'click'"):
        LabelEncoder.fit(table, [CLICK, replace(LIKE, given="clik")])
    with pytest.raises(UserError, match="circle"):
        LabelEncoder.fit(table, [replace(CLICK, given="like"), LIKE])
    with pytest.raises(UserError, match="not binary"):
        LabelEncoder.fit(table, [replace(CLICK, kind=Regression()), LIKE])


@pytest.mark.data
def test_kuairand_likes_without_a_click(data_folder: Path) -> None:
    table = read_table(data_folder / "kuairand_pure.parquet", columns=["is_click", "is_like"])
    targets = [
        binary("click", "is_click"),
        binary("like", "is_like", given="click"),
    ]
    click, like = (table[name].to_numpy() for name in table.column_names)
    num_conflicts = int(((click == 0) & (like == 1)).sum())
    # The data's README: 18 % of the likes have no click.
    assert num_conflicts / like.sum() == pytest.approx(0.18, abs=0.005)
    message = rf"{num_conflicts} training rows .* 0\.31% of the labelled rows .* 17\.6% of the yes"
    with pytest.raises(UserError, match=message):
        LabelEncoder.fit(table, targets)
    expected: dict[GivenConflict, tuple[int, int, str | None]] = {
        "drop": (len(like) - num_conflicts, like.sum() - num_conflicts, "click"),
        "keep-child": (len(like), like.sum(), "click"),
        "ignore-relation": (len(like), like.sum(), None),
    }
    for conflict, (num_labelled, num_yes, parent) in expected.items():
        encoder = LabelEncoder.fit(table, targets, given_conflict=conflict)
        count = encoder.encode(table).counts[1]
        num_told = 0 if parent is None else num_conflicts
        assert count == LabelCount("like", num_labelled, 0, num_told)
        assert np.nansum(encoder.encode(table).labels_BT[:, 1]) == num_yes
        assert encoder.tasks[1].given == parent
