"""Labels that teach nothing, or are none: words for every kind of bad column."""

import datetime
import math
from collections.abc import Sequence

import pyarrow as pa
import pytest

from polytask.data.labels import LabelEncoder
from polytask.errors import UserError
from polytask.kinds import make_kind
from polytask.task import Task, binary, regression

NAN = math.nan


def fit_one(
    values: pa.Array | Sequence[object],
    kind: str = "binary",
    *,
    positive: str | None = None,
) -> LabelEncoder:
    target = Task(
        "task",
        "x",
        make_kind({"name": kind, **({} if positive is None else {"positive": positive})}),
    )
    return LabelEncoder.fit(pa.table({"x": values}), [target])


def labels_of(encoder: LabelEncoder, values: pa.Array | Sequence[object]) -> list[float]:
    return encoder.encode(pa.table({"x": values})).labels_BT[:, 0].tolist()


BAD: list[tuple[pa.Array | list[object], str, str | None, str]] = [
    ([1, 1, None], "binary", None, r"task 'task' \(column 'x'\) is constant: all 2 .* are yes"),
    ([0, 0], "binary", None, "are no; there is nothing to learn"),
    (["a", "a"], "binary", "a", "constant.*yes"),
    ([4, 4.0], "regression", None, "constant.*are 4"),
    ([4, 4], "count", None, "constant"),
    (["a", "a"], "multiclass", None, "constant.*'a'"),
    *[(pa.nulls(3), kind, None, "without a label") for kind in ("binary", "multiclass", "count")],
    (pa.array([NAN, None]), "regression", None, "without a label"),
    (pa.nulls(3), "binary", "yes", "without a label"),
    (["- 50000", "50000+", "50000+"], "binary", None, r"'50000\+' \(2 rows\), '- 50000' \(1 row\); say which"),
    ([1, 2, 2], "binary", None, "not 0 and 1"),
    (["b", "a", "b"], "binary", "c", r"'c' never occurs; the commonest values are 'b' \(2 rows"),
    (["Never married", "a"], "binary", "never maried", "did you mean 'Never married'"),
    (["a", "b"], "binary", "a|c", "'c' never occurs"),
    (["a", "b"], "binary", ">=3", "bounds need a column of numbers"),
    ([1, 2], "binary", "3", "the value 3 never occurs"),
    ([1, 2], "binary", ">2", "no row fulfils '>2'"),
    ([1, 2], "binary", "50000+", r"'50000\+' is none"),
    ([1, 2], "binary", ">=many", "'many' is none"),
    ([1, 2], "binary", "", "'' is none"),
    ([True, False], "binary", "maybe", "'maybe' is neither"),
    (["1", "2", "drei"], "regression", None, r"text where numbers are due: 1 row \(first 'drei' in row 2"),
    (["1", "zwei"], "count", None, "text where numbers are due"),
    ([1.0, math.inf, -math.inf], "regression", None, "infinite in 2 rows .first inf in row 1"),
    ([1.5, 2.0], "count", None, "negatives or fractions: 1 row .first 1.5 in row 0"),
    ([1, -2], "count", None, "first -2 in row 1"),
    ([1.5, 2.0], "multiclass", None, "holds fractions"),
    ([datetime.date(2022, 5, 1)], "regression", None, "holds date32"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "kind", "positive", "message"), BAD)
def test_bad_label_columns_are_told(
    values: pa.Array | list[object], kind: str, positive: str | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        fit_one(values, kind, positive=positive)


def test_the_five_commonest_values_are_shown() -> None:
    values = [f"v{i}" for i in range(8) for _ in range(i + 1)]
    with pytest.raises(UserError) as error:
        fit_one(values, positive="v9")
    shown = str(error.value).split("are ")[-1]
    assert shown == ", ".join(f"'v{i}' ({i + 1} rows)" for i in (7, 6, 5, 4, 3))


def test_log_of_what_has_none_is_refused() -> None:
    target = regression("t", "x", transform="log1p")
    with pytest.raises(UserError, match=r"log1p, but holds -1 or less: 1 row \(first -2 in row 1"):
        LabelEncoder.fit(pa.table({"x": [1.0, -2.0]}), [target])


def test_infinities_are_told_at_encoding_too() -> None:
    with pytest.raises(UserError, match="infinite"):
        labels_of(fit_one([1.0, 2.0], "regression"), [math.inf])


def test_options_for_other_kinds_are_refused() -> None:
    for kind, options in [("regression", {"positive": "1"}), ("binary", {"transform": "log1p"})]:
        with pytest.raises(UserError, match=f"{kind} has no option"):
            make_kind({"name": kind, **options})
    with pytest.raises(ValueError, match="needs a binary task"):
        Task("t", "x", make_kind("multiclass"), given="click")


def test_a_missing_column_is_named_with_its_nearest() -> None:
    with pytest.raises(UserError, match="'clik' - did you mean 'click'"):
        LabelEncoder.fit(pa.table({"click": [0, 1]}), [binary("t", "clik")])


def test_names_must_differ_and_exist() -> None:
    table = pa.table({"x": [0, 1]})
    with pytest.raises(UserError, match="at least one"):
        LabelEncoder.fit(table, [])
    with pytest.raises(UserError, match="must differ"):
        LabelEncoder.fit(table, [binary("t", "x")] * 2)


def test_a_foreign_or_newer_record_is_told_apart() -> None:
    record = fit_one([0, 1]).to_dict()
    assert (record["format"], record["version"]) == ("polytask-labels", 1)
    for change, message in [
        ({"format": "polytask-encoder"}, "polytask-encoder"),
        ({"version": 7}, "version 7"),
        ({"tasks": [{"name": 3}]}, "damaged"),
    ]:
        with pytest.raises(UserError, match=message):
            LabelEncoder.from_dict(record | change)
