"""Labels of good columns: YES texts, classes, scales, kinds."""

import datetime
import json
import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytask.data.labels import LabelCount, LabelEncoder
from polytask.data.readers import read_table
from polytask.errors import UserError
from polytask.kinds import infer_kind, infer_word_kind, make_kind
from polytask.task import Task, binary, multiclass, regression

NAN = math.nan


def fit_one(
    values: pa.Array | Sequence[object],
    kind: str = "binary",
    *,
    positive: str | None = None,
) -> LabelEncoder:
    target = Task(
        "task", "x", make_kind({"name": kind, **({"positive": positive} if positive else {})})
    )
    return LabelEncoder.fit(pa.table({"x": values}), [target])


def labels_of(encoder: LabelEncoder, values: pa.Array | Sequence[object]) -> list[float]:
    return encoder.encode(pa.table({"x": values})).labels_BT[:, 0].tolist()


def assert_labels(found: Sequence[float], expected: Sequence[float]) -> None:
    np.testing.assert_array_equal(np.array(found), np.array(expected))


CITIES = ["Bonn", "Aachen", None, "Bonn", "a|b", ">50K", "Köln"]
NUMBERS = [0, 1, 2, None, 3, 2]
YES = [
    (CITIES, "Bonn", [1, 0, NAN, 1, 0, 0, 0]),
    (CITIES, "Bonn|Köln", [1, 0, NAN, 1, 0, 0, 1]),
    (CITIES, "a|b", [0, 0, NAN, 0, 1, 0, 0]),
    (CITIES, ">50K", [0, 0, NAN, 0, 0, 1, 0]),
    (pa.array(CITIES).dictionary_encode(), "Bonn|Köln", [1, 0, NAN, 1, 0, 0, 1]),
    (pa.array(NUMBERS, pa.int8()), "2", [0, 0, 1, NAN, 0, 1]),
    (pa.array(NUMBERS, pa.int64()), "2|3.0", [0, 0, 1, NAN, 1, 1]),
    (pa.array(NUMBERS, pa.uint64()), ">=2", [0, 0, 1, NAN, 1, 1]),
    (pa.array(NUMBERS, pa.float32()), "> 2", [0, 0, 0, NAN, 1, 0]),
    (pa.array(NUMBERS, pa.int64()), ">1.5", [0, 0, 1, NAN, 1, 1]),
    (pa.array(NUMBERS, pa.float64()), "<1", [1, 0, 0, NAN, 0, 0]),
    (pa.array(NUMBERS, pa.int16()), "<=1", [1, 1, 0, NAN, 0, 0]),
    (pa.array([0.5, 1.5, NAN, None]), "0.5", [1, 0, NAN, NAN]),
    (pa.array([2**53, 2**53 + 1]), f">{2**53}", [0, 1]),
    (pa.array([2**53, 2**53 + 1]), str(2**53 + 1), [0, 1]),
    (pa.array([5, 2**64 - 1], pa.uint64()), ">-1", None),
    (pa.array([5, 2**64 - 1], pa.uint64()), f">={2**64 - 1}", [0, 1]),
    ([True, False, None], "true", [1, 0, NAN]),
    ([True, False, None], "no", [0, 1, NAN]),
    ([datetime.date(2022, 5, 1), datetime.date(2022, 5, 2)], "2022-05-02", [0, 1]),
]


@pytest.mark.parametrize(("values", "positive", "expected"), YES)
def test_yes_is_read_in_the_columns_type(
    values: pa.Array | list[object], positive: str, expected: list[float] | None
) -> None:
    if expected is None:
        with pytest.raises(UserError, match="constant"):
            fit_one(values, positive=positive)
        return
    encoder = fit_one(values, positive=positive)
    assert_labels(labels_of(encoder, values), expected)
    again = LabelEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    assert_labels(labels_of(again, values), expected)


def test_yes_keeps_its_meaning_in_another_table() -> None:
    # "a|b" was one value of the training rows; a table without it must not read it as two.
    encoder = fit_one(["a", "b", "a|b"], positive="a|b")
    assert_labels(labels_of(encoder, ["a", "b", "a"]), [0, 0, 0])


@pytest.mark.parametrize(
    ("positive", "later", "expected"),
    [
        ("1", pa.array([1.0, 0.0, None, 2.0]), [1, 0, NAN, 0]),
        ("1", pa.array(["1", "0", None]), [1, 0, NAN]),
        (">=1", pa.array(["1", "0.5", None]), [1, 0, NAN]),
        (">=1", pa.array([1, 0], pa.uint8()), [1, 0]),
    ],
)
def test_labels_of_other_types_are_read_where_nothing_is_lost(
    positive: str, later: pa.Array, expected: list[float]
) -> None:
    assert_labels(labels_of(fit_one([0, 1, 2], positive=positive), later), expected)


def test_labels_of_other_types_are_refused_where_something_is_lost() -> None:
    with pytest.raises(UserError, match="'yes' in row 1"):
        labels_of(fit_one([0, 1, 2], positive="1"), ["1", "yes"])


@pytest.mark.parametrize(
    ("kind", "positive"),
    [
        ("binary", None),
        ("binary", "1"),
        ("binary", ">0"),
        ("multiclass", None),
        ("regression", None),
        ("count", None),
    ],
)
def test_a_column_without_a_type_has_no_label(kind: str, positive: str | None) -> None:
    # What a reader makes of a label column that is empty in the table of another day.
    encoder = fit_one(
        [0, 1, 2] if positive or kind != "binary" else [0, 1], kind, positive=positive
    )
    assert_labels(labels_of(encoder, pa.nulls(2)), [NAN, NAN])


@pytest.mark.parametrize(
    "values",
    [
        [0, 1, None, 1],
        [False, True, None, True],
        [0.0, 1.0, None, 1.0],
        pa.array([0, 1, None, 1], pa.uint8()),
    ],
)
def test_0_and_1_need_no_yes(values: pa.Array | list[object]) -> None:
    encoder = fit_one(values)
    assert_labels(labels_of(encoder, values), [0, 1, NAN, 1])
    assert_labels(labels_of(encoder, [1.0, NAN, 0.0]), [1, NAN, 0])


def test_what_is_neither_0_nor_1_later_is_no_label_and_counted() -> None:
    encoder = fit_one([0, 1, 1])
    table = pa.table({"x": [0, 1, 2, -1, None]})
    assert_labels(encoder.encode(table).labels_BT[:, 0].tolist(), [0, 1, NAN, NAN, NAN])
    assert encoder.encode(table).counts == (LabelCount("task", 2, 2, 0, "2"),)


def test_classes_are_ascending_and_unseen_ones_are_counted() -> None:
    encoder = fit_one(["sport", "news", None, "news"], "multiclass")
    assert encoder.tasks[0].kind.classes == ("news", "sport")
    table = pa.table({"x": ["sport", "music", None, "news", "music"]})
    assert_labels(encoder.encode(table).labels_BT[:, 0].tolist(), [1, -1, NAN, 0, -1])
    assert encoder.encode(table).counts == (LabelCount("task", 2, 2, 0, "'music'"),)


@pytest.mark.parametrize(
    ("values", "classes", "expected"),
    [
        ([10, 9, 10, 2], (2, 9, 10), [2, 1, 2, 0]),
        ([10.0, 9.0, NAN, 2.0], (2, 9, 10), [2, 1, NAN, 0]),
        ([True, False, None], (False, True), [1, 0, NAN]),
        (pa.array([2**63, 5], pa.uint64()), (5, 2**63), [1, 0]),
        (pa.array(["b", "a", "b"]).dictionary_encode(), ("a", "b"), [1, 0, 1]),
    ],
)
def test_classes_of_every_type(
    values: pa.Array | list[object], classes: tuple[object, ...], expected: list[float]
) -> None:
    encoder = fit_one(values, "multiclass")
    assert encoder.tasks[0].kind.classes == classes
    assert encoder.tasks[0].kind.num_classes == len(classes)
    assert_labels(labels_of(encoder, values), expected)
    assert LabelEncoder.from_dict(encoder.to_dict()) == encoder


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.none() | st.floats(-1e6, 1e6), min_size=2, max_size=50),
    transform=st.sampled_from([None, "log1p"]),
)
def test_regression_is_standardised_and_decoded_to_its_unit(
    values: list[float | None], transform: None
) -> None:
    if transform:
        values = [None if v is None else abs(v) for v in values]
    present = np.array([v for v in values if v is not None])
    if len(present) < 2 or np.ptp(np.log1p(present) if transform else present) < 1e-2:
        return
    table = pa.table({"x": pa.array(values, pa.float64())})
    encoder = LabelEncoder.fit(table, [regression("t", "x", transform=transform)])
    labels = encoder.encode(table).labels_BT[:, 0]
    assert np.isnan(labels).tolist() == [v is None for v in values]
    np.testing.assert_allclose([np.nanmean(labels), np.nanstd(labels)], [0, 1], atol=1e-4)
    decoded = encoder.tasks[0].kind.decode(labels[~np.isnan(labels)])
    np.testing.assert_allclose(decoded, present, rtol=1e-4, atol=1e-4 * present.std())
    assert LabelEncoder.from_dict(encoder.to_dict()) == encoder


def test_the_logarithm_is_undone() -> None:
    target = regression("t", "x", transform="log1p")
    encoder = LabelEncoder.fit(pa.table({"x": [0, 3, 10]}), [target])
    labels = encoder.encode(pa.table({"x": [0, 3, 10]})).labels_BT[:, 0]
    assert encoder.tasks[0].kind.mean == pytest.approx(np.log([1, 4, 11]).mean())
    np.testing.assert_allclose(encoder.tasks[0].kind.decode(labels), [0, 3, 10], atol=1e-5)


def test_counts_stay_counts() -> None:
    encoder = fit_one([0, 3, None, 12], "count")
    assert_labels(labels_of(encoder, [0, 3, None, 12]), [0, 3, NAN, 12])
    assert encoder.tasks[0].kind.decode(np.array([2.5])).tolist() == [2.5]


@pytest.mark.parametrize(
    ("values", "kind", "reason"),
    [
        ([0, 1, None], "binary", "0 or 1"),
        ([True, False], "binary", "true or false"),
        ([0.0, 1.0, NAN], "binary", "0 or 1"),
        ([0.0, 0.5, 1.0], "regression", "double"),
        (pa.array([1, 2, 3], pa.float32()), "regression", "float"),
        ([1.0, 2.0, 3.0, NAN], "multiclass", "integers with 3"),
        ([1.5, 2.0, None], "regression", "double"),
        ([Decimal("0"), Decimal("1")], "binary", "0 or 1"),
        ([Decimal("0.5"), Decimal("1.25")], "regression", "decimal"),
        ([Decimal("1"), None, Decimal("3")], "binary", "two values"),
        (["a", "b", "c"], "multiclass", "text with 3 different values"),
        (["- 50000", "50000+"], "binary", "'50000+'"),
        ([1, 2, 3], "multiclass", "integers with 3 different values"),
        (list(range(21)), "regression", "integers with 21 different values"),
        (pa.array(["a", "b", "c"]).dictionary_encode().slice(0, 2), "binary", "two values"),
    ],
)
def test_kinds_are_inferred_with_a_reason(
    values: pa.Array | list[object], kind: str, reason: str
) -> None:
    found, why = infer_kind(pa.chunked_array([values]), "the label")
    assert (found.name, reason in why) == (kind, True)


@pytest.mark.data
def test_census_labels(data_folder: Path) -> None:
    table = read_table(data_folder / "census_income_train.parquet")
    targets = [
        binary("income", "income", positive="50000+"),
        binary("never_married", "marital_status", positive="Never married"),
        multiclass("education", "education"),
        regression("weeks", "weeks_worked"),
    ]
    encoder = LabelEncoder.fit(table, targets)
    labels_BT = encoder.encode(table).labels_BT
    # Shares as in the data's README: 6.2 %, 43.3 %, 17 levels.
    assert labels_BT[:, 0].mean() == pytest.approx(0.062, abs=5e-4)
    assert labels_BT[:, 1].mean() == pytest.approx(0.433, abs=5e-4)
    assert encoder.tasks[2].kind.num_classes == 17
    weeks = encoder.tasks[3].kind.decode(labels_BT[:, 3])
    np.testing.assert_allclose(weeks, table["weeks_worked"].to_numpy(), atol=1e-4)


def test_words_with_a_yes_and_a_no_are_no_tags() -> None:
    """Other pairs are two tags: which one is asked for nobody said."""
    for words, expected in (([0, 1, 1], "binary"), (["yes", "no"], "binary"), (["B", "O"], "tags")):
        kind, reason = infer_word_kind(pa.chunked_array([words]), "the labels")
        assert (kind.name, reason[:15]) == (expected, "for each word: ")
