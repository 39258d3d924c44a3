"""Metrics of random parts: those of all rows, exactly where rows are averaged, else within their error."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from polytask.kinds import Binary, Count, Multiclass, Regression
from polytask.metrics import PartRows, compare, compare_parts, evaluate, evaluate_parts
from polytask.records import Gain, MetricValue

KINDS = {kind.name: kind for kind in (Binary(), Multiclass(), Regression(), Count())}
MEANS = {"xauc", "macro_f1"}


def rows_of(kind: str, size: int, seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    groups, weights = (
        random.integers(0, size // 20, size),
        random.integers(1, 4, size).astype(float),
    )
    labels = random.poisson(4, size).astype(float)
    predictions = 1 + labels * random.gamma(3, 1 / 3, size)
    if kind == "binary":
        labels = (random.random(size) < 0.3).astype(float)
        predictions = 0.6 * random.random(size) + 0.2 * labels + 0.1
    if kind == "multiclass":
        labels = random.integers(0, 4, size).astype(float)
        odds = random.gamma(1, size=(size, 4)) + (labels[:, None] == np.arange(4))
        predictions = odds / odds.sum(axis=1, keepdims=True)
    labels[random.random(size) < 0.1] = np.nan
    return {"predictions": predictions, "labels": labels, "weights": weights, "groups": groups}


def rounded(found: MetricValue | Gain) -> tuple[object, ...]:
    values = (found.value, found.low, found.high)
    return found.name, *(None if each is None else round(each, 9) for each in values)


def parts_of(rows: dict[str, Any], number: int) -> list[PartRows]:
    part_B = rows.get("groups", np.arange(len(rows["labels"]))) % number
    return [PartRows(**{k: v[part_B == part] for k, v in rows.items()}) for part in range(number)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grouped", [False, True])
def test_one_part_is_the_whole(kind: str, grouped: bool) -> None:
    rows = rows_of(kind, 500)
    if not grouped:
        del rows["groups"]
    mine, due = evaluate_parts(KINDS[kind], [PartRows(**rows)]), evaluate(KINDS[kind], **rows)
    assert not any("no interval" in note for note in mine.notes)
    assert replace(mine, metrics=()) == replace(due, metrics=())
    assert [rounded(each) for each in mine.metrics] == [rounded(each) for each in due.metrics]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grouped", [False, True])
def test_parts_say_what_the_whole_says(kind: str, grouped: bool) -> None:
    rows = rows_of(kind, 20_000)
    if not grouped:
        del rows["groups"]
    whole = evaluate(KINDS[kind], **rows)
    parted = evaluate_parts(KINDS[kind], parts_of(rows, 4))
    counts = ("num_rows", "num_unlabelled", "num_positive", "num_groups", "num_group_rows")
    assert [getattr(parted, each) for each in counts] == [getattr(whole, each) for each in counts]
    assert [m.name for m in parted.metrics] == [m.name for m in whole.metrics]
    for mine, due in zip(parted.metrics, whole.metrics):
        if mine.name not in MEANS:
            assert mine.value == pytest.approx(due.value, rel=1e-11), mine.name
        assert due.low is not None and due.high is not None
        assert mine.low is not None and mine.high is not None
        width = due.high - due.low
        # Widths by 200 resamples miss by a tenth or two. The error of parts beyond the whole's is that of one over their rows.
        assert abs(mine.value - due.value) < 0.05 * width, mine.name
        assert 0.6 * width < mine.high - mine.low < 1.6 * width, mine.name


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
@pytest.mark.parametrize("grouped", [False, True])
def test_with_few_bins_auc_is_within_the_bound_that_is_said(
    kind: str, grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(kind, 20_000)
    if not grouped:
        del rows["groups"]
    name = KINDS[kind].main_metric
    exact = evaluate_parts(KINDS[kind], parts_of(rows, 4))
    assert exact[name].bound == 0 and f"{name}_bound" not in exact.to_dict()
    monkeypatch.setattr("polytask.metrics.wholes.MOST_BINS", 400)
    found = evaluate_parts(KINDS[kind], parts_of(rows, 4))
    bound = found[name].bound
    assert 0 < bound < 0.01 and found.to_dict()[f"{name}_bound"] == bound
    assert 0 < abs(found[name].value - exact[name].value) <= bound
    assert found[name].low == pytest.approx(exact[name].low - bound, abs=2 * bound)
    assert any(f"within {bound:.1e} of the exact one" in note for note in found.notes)
    [gain, *_] = compare_parts(KINDS[kind], zip(parts_of(rows, 4), parts_of(rows, 4)))
    assert gain.value == 0 and gain.low is not None and gain.low <= -2 * bound


def test_parts_of_one_class_each_make_an_auc() -> None:
    """Labels that a part does not tell apart; the classes of both parts together do."""
    no, yes = PartRows([0.2, 0.4], [0.0, 0.0]), PartRows([0.3, 0.9], [1.0, 1.0])
    found = evaluate_parts(Binary(), [no, yes])
    assert found["auc"].value == 0.75 and found["auc"].low is None
    assert "no interval of auc: not every part shows how it varies" in found.notes
    odds = [[0.6, 0.4], [0.3, 0.7]]
    first, second = PartRows(odds, [0.0, 0.0]), PartRows(odds, [1.0, 1.0])
    assert evaluate_parts(Multiclass(), [first, second])["macro_auc"].value == 0.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grouped", [False, True])
def test_gains_of_parts_are_gains_of_the_whole(kind: str, grouped: bool) -> None:
    one = rows_of(kind, 12_000)
    if not grouped:
        del one["groups"]
    drawn = np.random.default_rng(1)
    noise = np.exp(drawn.normal(0, 0.1, one["predictions"].shape))
    other = one | {"predictions": np.clip(one["predictions"] * noise, 0, None)}
    if kind == "binary":
        other["predictions"] = other["predictions"].clip(0, 1)
    if kind == "multiclass":
        other["predictions"] /= other["predictions"].sum(axis=1, keepdims=True)
    arguments = {k: v for k, v in one.items() if k != "predictions"}
    whole = compare(KINDS[kind], one["predictions"], other["predictions"], **arguments)
    single = compare_parts(KINDS[kind], [(PartRows(**one), PartRows(**other))])
    assert [rounded(each) for each in single] == [rounded(each) for each in whole]
    parted = compare_parts(KINDS[kind], zip(parts_of(one, 3), parts_of(other, 3)))
    for mine, due in zip(parted, whole, strict=True):
        assert mine.name == due.name
        if due.low is None or due.high is None or mine.low is None or mine.high is None:
            continue
        width = due.high - due.low
        assert abs(mine.value - due.value) < 0.1 * width, mine.name
        assert 0.6 * width < mine.high - mine.low < 1.6 * width, mine.name


def test_a_part_without_a_positive_is_left_out_and_none_at_all_is_told() -> None:
    score = np.linspace(0.1, 0.9, 50)
    label = (score > 0.5).astype(float)
    parts = [
        PartRows(score, label),
        PartRows(score, np.zeros(50)),
        PartRows(score, np.full(50, np.nan)),
    ]
    evaluation = evaluate_parts(Binary(), parts)
    labels = np.concatenate([label, np.zeros(50)])
    due = evaluate(Binary(), np.concatenate([score, score]), labels)["auc"].value
    assert evaluation["auc"].value == pytest.approx(due) and evaluation.num_rows == 100
    assert not any("parts" in note for note in evaluation.notes)
    without = evaluate_parts(Binary(), parts[1:])
    assert "auc" not in without and "no auc: the labels are all of one class" in without.notes
    assert evaluate_parts(Binary(), parts[2:]).metrics == ()


@pytest.mark.parametrize("shift", [0.0, 1e7])
def test_of_heavy_groups_r2_and_rmse_are_those_of_all_rows(shift: float) -> None:
    """One group has half of the rows, and groups' means differ by far more than their rows: means over parts would miss."""
    drawn = np.random.default_rng(0)
    groups = np.where(drawn.random(8000) < 0.5, 0, drawn.integers(1, 40, 8000))
    labels = 100 * np.sin(groups) + drawn.normal(0, 1, 8000) + shift
    predictions = labels + drawn.normal(0, 20 / (1 + groups % 4), 8000)
    rows = {"predictions": predictions, "labels": labels, "groups": groups}
    whole = evaluate(Regression(), **rows)
    parts = parts_of(rows, 4)
    parted = evaluate_parts(Regression(), parts)
    for name in ("r2", "rmse", "mae"):
        assert parted[name].value == pytest.approx(whole[name].value, rel=1e-9)
    apart = [evaluate(Regression(), **{f: getattr(p, f) for f in rows})["r2"].value for p in parts]
    sizes = [len(np.asarray(part.labels)) for part in parts]
    assert abs(np.average(apart, weights=sizes) - whole["r2"].value) > 1e-3
    assert "r2" not in evaluate_parts(Regression(), [PartRows([1.0, 2.0], [5.5, 5.5])] * 2)


def test_a_part_that_lacks_what_a_metric_is_of_counts_all_the_same() -> None:
    """Labels that are equal within each part, and differ between them; one negative label among all."""
    ones, twos = PartRows([1.1, 0.8], [1.0, 1.0]), PartRows([2.2, 1.7], [2.0, 2.0])
    whole = evaluate(Regression(), [1.1, 0.8, 2.2, 1.7], [1.0, 1.0, 2.0, 2.0], intervals=False)
    parted = evaluate_parts(Regression(), [ones, twos], intervals=False)
    assert parted["r2"].value == pytest.approx(whole["r2"].value, rel=1e-12)
    below = evaluate_parts(Regression(), [ones, PartRows([0.0, 1.0], [-1.0, 1.0])])
    assert "calibration" not in below
