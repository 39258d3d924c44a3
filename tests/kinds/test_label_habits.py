"""Label columns as people have them: spellings of yes, gaps, numbers as text, words for missing."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from polytask.data.labels import LabelEncoder
from polytask.errors import UserError
from polytask.kinds import Binary, Multiclass, Regression, infer_kind
from polytask.kinds.columns import label_column
from polytask.task import Task, binary, regression


def column_of(values: Sequence[object]) -> pa.ChunkedArray:
    return pa.chunked_array([values])


def infer(values: Sequence[object], missing: Sequence[str] = ()) -> tuple[str, str]:
    kind, reason = infer_kind(label_column(column_of(values), missing), "task 'y'")
    return kind.name, reason


def labels_of(task: Task, values: Sequence[object], missing: Sequence[str] = ()) -> list[float]:
    table = pa.table({"y": values})
    encoder = LabelEncoder.fit(table, [task], missing=missing)
    return encoder.encode(table).labels_BT[:, 0].tolist()


@pytest.mark.parametrize(
    ("no", "yes"),
    [("no", "yes"), ("N", "Y"), ("False", "TRUE"), ("f", "t"), ("0", "1"), (" no", "Yes ")],
)
def test_words_of_one_meaning_need_no_yes(no: str, yes: str) -> None:
    for values in ([yes, no, None, no], [no, yes, None, yes]):
        expected = [float("nan") if v is None else float(v == yes) for v in values]
        np.testing.assert_array_equal(labels_of(binary("y"), values), expected)
        name, reason = infer(values)
        assert name == "binary"
        assert "is yes" in reason or reason == "0 or 1"


def test_what_is_neither_of_the_two_words_is_no_label() -> None:
    kind = Binary().fit(column_of(["yes", "no", "no"]), "y")
    encoded = kind.encode(column_of(["yes", "maybe", "no"]), "y")
    np.testing.assert_array_equal(encoded.values_B, [1, np.nan, 0])
    assert (encoded.num_unseen, encoded.example) == (1, "'maybe'")


@pytest.mark.parametrize("values", [["yes", "nope"], ["nope", "yes"], ["yes", "no", "unsure"]])
def test_the_question_which_is_yes_has_yes_first(values: Sequence[object]) -> None:
    with pytest.raises(UserError, match="as in 'binary:yes'"):
        Binary().fit(column_of(values), "y")


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([1.0, 2.0, float("nan"), 3.0], "multiclass"),
        ([1.0, 2.0, None, 3.0], "multiclass"),
        (["1", "2", None, "3"], "multiclass"),
        ([1, 2, None, 3], "multiclass"),
        ([1.0, 2.0, 3.0], "regression"),
        ([1.5, None, 3.0], "regression"),
        ([*map(float, range(30)), None], "regression"),
        (["0.0", "1.0", "nan"], "binary"),
        ([0.0, 1.0, None], "binary"),
    ],
)
def test_one_column_has_one_kind_whatever_its_type(values: Sequence[object], name: str) -> None:
    assert infer(values)[0] == name


def test_classes_with_gaps_are_those_of_the_file() -> None:
    from_csv = Multiclass().fit(label_column(column_of([3, 1, None, 2])), "y")
    from_pandas = Multiclass().fit(label_column(column_of([3.0, 1.0, float("nan"), 2.0])), "y")
    from_text = Multiclass().fit(label_column(column_of(["3", "1", "nan", "2"])), "y")
    assert from_csv == from_pandas == from_text
    assert from_csv.classes == (1, 2, 3)


def test_words_for_missing_count_among_numbers_alone() -> None:
    assert label_column(column_of(["1", "?", "2.5", "-"])).to_pylist() == [1.0, None, 2.5, None]
    assert label_column(column_of(["NA", "DE"])).to_pylist() == ["NA", "DE"]  # Namibia
    assert label_column(column_of(["007", "12"])).to_pylist() == ["007", "12"]
    encoded = pa.chunked_array([pa.array(["1", "nan", "2"]).dictionary_encode()])
    assert label_column(encoded).to_pylist() == [1, None, 2]


@pytest.mark.parametrize(
    ("values", "missing", "expected"),
    [
        ([0, 1, -1], ["-1"], [0, 1, None]),
        ([0.5, -999.0], ["-999"], [0.5, None]),
        (["a", "unknown"], ["unknown"], ["a", None]),
        (["1", "unknown", "3"], ["unknown"], [1, None, 3]),
        ([True, False], ["-1"], [True, False]),
    ],
)
def test_named_values_are_missing(
    values: Sequence[object], missing: Sequence[str], expected: Sequence[object]
) -> None:
    assert label_column(column_of(values), missing).to_pylist() == expected


def test_minus_one_is_asked_about() -> None:
    with pytest.raises(UserError, match=r"0, 1 and -1: .* pass missing=-1"):
        infer([0, 1, -1, 1])
    with pytest.raises(UserError, match=r"0, 1 and -1: .* pass missing=-1"):
        Binary().fit(column_of([0, 1, -1]), "y")
    assert infer([0, 1, -1, 1], missing=["-1"])[0] == "binary"
    assert labels_of(binary("y"), [0, 1, -1], ["-1"])[:2] == [0.0, 1.0]


def test_text_that_is_almost_all_different_is_no_set_of_classes() -> None:
    numbers = [f"{value:.1f}" for value in np.arange(2_000) / 10]
    numbers[5] = "<0.1"
    with pytest.raises(UserError, match=r"1,999 of 2,000 .* numbers; .*: '<0.1' in row 5"):
        infer(numbers)
    with pytest.raises(UserError, match=r"2,000 different values in 2,000 rows, such as '\$0.10'"):
        infer([f"${value / 10:.2f}" for value in range(1, 2_001)])
    assert infer(["a", "b", "c", "d"])[0] == "multiclass"
    assert infer([f"class {i % 700}" for i in range(2_000)])[0] == "multiclass"


def test_labels_too_large_to_be_squared_are_told() -> None:
    with pytest.raises(UserError, match=r"too large .* divide .*transform.*1e\+300 in row 1"):
        labels_of(regression("y"), [1.0, 1e300, 2.0])
    huge = labels_of(regression("y"), [1e100, 2e100, 3e100])
    np.testing.assert_allclose(huge, np.array([-1, 0, 1]) * 1.5**0.5, atol=1e-6)
    tiny = labels_of(regression("y"), [1e-200, 2e-200, 3e-200])
    np.testing.assert_allclose(tiny, huge, atol=1e-6)
    assert Regression(transform="log1p").fit(column_of([1e30, 1e100]), "y").std > 0


def test_probabilities_beside_a_relation_are_refused() -> None:
    table = pa.table({"click": [0.2, 0.9, 1.0, 0.0], "like": [0, 1, 1, 0]})
    with pytest.raises(UserError, match="labels of 'click' are probabilities"):
        LabelEncoder.fit(table, [binary("click"), binary("like", given="click")])


def test_a_child_starts_at_its_rate_where_the_parent_is_yes() -> None:
    table = pa.table({"click": [1, 1, 1, 1, 0, 0, 0, 0], "like": [1, 0, 0, 0, 0, 0, 0, 0]})
    encoder = LabelEncoder.fit(table, [binary("click"), binary("like", given="click")])
    rates = [task.kind.predict(task.kind.initial_bias()[None]).item() for task in encoder.tasks]
    assert rates == pytest.approx([0.5, 0.25])


@pytest.mark.parametrize("digits", [18, 19, 20, 60, 400])
def test_texts_of_many_digits_are_numbers_of_any_size(digits: int) -> None:
    text = "1" + "0" * (digits - 1)
    found = label_column(column_of([text, "-" + text, "5", None]))
    assert found.to_pylist() == [float(text), -float(text), 5, None]
    assert pa.types.is_integer(found.type) == (digits < 19)
