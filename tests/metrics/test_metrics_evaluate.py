"""The report of a task, the comparison of two models, and what happens with odd rows."""

import json

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from polytask.errors import UserError
from polytask.kinds import Binary, Count, Multiclass, Regression
from polytask.metrics import (
    compare,
    evaluate,
    quick_metric,
)
from polytask.records import MetricValue

KINDS = {kind.name: kind for kind in (Binary(), Multiclass(), Regression(), Count())}
METRICS = {name: tuple(each.name for each in kind.metrics) for name, kind in KINDS.items()}


def rows_of(kind, size=300, seed=0):
    """Predictions, labels, groups, weights."""
    random = np.random.default_rng(seed)
    groups, weights = random.integers(0, 40, size), random.integers(1, 4, size).astype(float)
    if kind == "binary":
        labels = (random.random(size) < 0.3).astype(float)
        return 0.6 * random.random(size) + 0.2 * labels + 0.1, labels, groups, weights
    if kind == "multiclass":
        labels = random.integers(0, 4, size).astype(float)
        odds = random.gamma(1, size=(size, 5)) + (labels[:, None] == np.arange(5))
        return odds / odds.sum(axis=1, keepdims=True), labels, groups, weights
    labels = random.poisson(4, size).astype(float)
    return 1 + labels * random.gamma(3, 1 / 3, size), labels, groups, weights


def present_macro_auc(labels, predictions, weights):
    """One versus rest over the classes that occur; scikit-learn refuses absent ones."""
    return np.mean(
        [
            sklearn_metrics.roc_auc_score(
                labels == c, predictions[:, int(c)], sample_weight=weights
            )
            for c in np.unique(labels)
        ]
    )


REFERENCES = {
    ("binary", "auc"): lambda y, p, w: sklearn_metrics.roc_auc_score(y, p, sample_weight=w),
    ("binary", "log_loss"): lambda y, p, w: sklearn_metrics.log_loss(y, p, sample_weight=w),
    ("binary", "calibration"): lambda y, p, w: (w @ p) / (w @ y),
    ("multiclass", "accuracy"): lambda y, p, w: sklearn_metrics.accuracy_score(
        y, p.argmax(axis=1), sample_weight=w
    ),
    ("multiclass", "macro_auc"): present_macro_auc,
    ("multiclass", "log_loss"): lambda y, p, w: sklearn_metrics.log_loss(
        y, p, sample_weight=w, labels=range(5)
    ),
    ("regression", "rmse"): lambda y, p, w: sklearn_metrics.root_mean_squared_error(
        y, p, sample_weight=w
    ),
    ("regression", "mae"): lambda y, p, w: sklearn_metrics.mean_absolute_error(
        y, p, sample_weight=w
    ),
    ("regression", "r2"): lambda y, p, w: sklearn_metrics.r2_score(y, p, sample_weight=w),
    ("regression", "calibration"): lambda y, p, w: (w @ p) / (w @ y),
    ("count", "poisson_deviance"): lambda y, p, w: sklearn_metrics.mean_poisson_deviance(
        y, p, sample_weight=w
    ),
    ("count", "rmse"): lambda y, p, w: sklearn_metrics.root_mean_squared_error(
        y, p, sample_weight=w
    ),
    ("count", "mae"): lambda y, p, w: sklearn_metrics.mean_absolute_error(y, p, sample_weight=w),
    ("count", "calibration"): lambda y, p, w: (w @ p) / (w @ y),
}
OWN = {
    # Checked one pair at a time, and user by user, in test_metrics_ranking.py.
    ("binary", "gauc"),
    ("regression", "xauc"),
    ("regression", "gxauc"),
    ("count", "xauc"),
    ("count", "gxauc"),
}


def test_every_metric_has_an_independent_reference():
    assert {(k, n) for k, names in METRICS.items() for n in names} == REFERENCES.keys() | OWN


@pytest.mark.parametrize(("kind", "name"), REFERENCES)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_value_equals_scikit_learn(kind, name, is_weighted):
    predictions, labels, _, weights = rows_of(kind)
    weights = weights if is_weighted else np.ones(len(labels))
    expected = REFERENCES[kind, name](labels, predictions, weights)
    found = quick_metric(name, KINDS[kind], predictions, labels, weights=weights)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_report_holds_every_metric_in_order_with_an_interval_around_it(kind):
    predictions, labels, groups, _ = rows_of(kind)
    report = evaluate(KINDS[kind], predictions, labels, groups=groups)
    assert tuple(metric.name for metric in report.metrics) == METRICS[kind]
    assert report.notes == ()
    for metric in report.metrics:
        quick = quick_metric(metric.name, KINDS[kind], predictions, labels, groups)
        assert metric.value == pytest.approx(quick, rel=1e-12)
        assert metric.low < metric.value < metric.high
        assert metric.direction == KINDS[kind].metric(metric.name).direction
        assert isinstance(metric, MetricValue) and report[metric.name] == metric


@pytest.mark.parametrize("kind", KINDS)
def test_unlabelled_rows_are_dropped_and_counted(kind):
    predictions, labels, groups, weights = rows_of(kind)
    missing = np.arange(len(labels)) % 3 == 0
    holes, broken = labels.copy(), predictions.copy()
    holes[missing] = np.nan
    broken[missing] = np.nan
    report = evaluate(KINDS[kind], broken, holes, groups=groups, weights=weights)
    kept = ~missing
    expected = evaluate(
        KINDS[kind], predictions[kept], labels[kept], groups=groups[kept], weights=weights[kept]
    )
    assert report.metrics == expected.metrics
    assert (report.num_rows, report.num_unlabelled) == (kept.sum(), missing.sum())


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_counts_a_row_that_often_and_zero_drops_it(kind):
    predictions, labels, groups, weights = rows_of(kind)
    weights[::5] = 0
    take = np.repeat(np.arange(len(labels)), weights.astype(int))
    weighted = evaluate(KINDS[kind], predictions, labels, groups=groups, weights=weights)
    repeated = evaluate(KINDS[kind], predictions[take], labels[take], groups=groups[take])
    assert weighted.num_rows == (weights > 0).sum()
    assert weighted.mean_label == pytest.approx(repeated.mean_label)
    for metric in weighted.metrics:
        assert metric.value == pytest.approx(repeated[metric.name].value, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_rows_changes_no_value(kind):
    predictions, labels, groups, weights = rows_of(kind)
    order = np.random.default_rng(7).permutation(len(labels))
    report = evaluate(KINDS[kind], predictions, labels, groups=groups, weights=weights)
    shuffled = evaluate(
        KINDS[kind], predictions[order], labels[order], groups=groups[order], weights=weights[order]
    )
    for metric in report.metrics:
        assert metric.value == pytest.approx(shuffled[metric.name].value, rel=1e-12)


@pytest.mark.parametrize(
    "rename",
    [
        lambda g: g + 2**53 + 1,
        lambda g: np.array([f"user {x}" for x in g]),
        lambda g: np.array([f"user {x}" for x in g], dtype=object),
        lambda g: g.astype(float),
    ],
    ids=["large integers", "text", "objects", "floats"],
)
def test_names_of_groups_do_not_matter(rename):
    predictions, labels, groups, _ = rows_of("binary")
    plain = evaluate(KINDS["binary"], predictions, labels, groups=groups)
    renamed = evaluate(KINDS["binary"], predictions, labels, groups=rename(groups))
    assert renamed["gauc"].value == pytest.approx(plain["gauc"].value, rel=1e-12)
    assert (renamed.num_groups, renamed.num_group_rows) == (plain.num_groups, plain.num_group_rows)


@pytest.mark.parametrize("missing", [np.nan, None])
def test_rows_without_a_group_are_groups_of_their_own(missing):
    predictions, labels, groups, _ = rows_of("binary")
    holes = groups.astype(object if missing is None else float)
    holes[:30] = missing
    own = groups.copy()
    own[:30] = 1000 + np.arange(30)
    found, expected = (
        evaluate(KINDS["binary"], predictions, labels, groups=g) for g in (holes, own)
    )
    assert found["gauc"].value == pytest.approx(expected["gauc"].value, rel=1e-12)
    assert found.num_groups == expected.num_groups


def test_groups_with_one_class_are_dropped_and_the_others_counted():
    labels = np.array([0.0, 1, 0, 0, 1, 1, 0, 1, 0])
    groups = np.array([1, 1, 2, 2, 3, 3, 4, 4, 4])
    predictions = np.array([0.1, 0.9, 0.5, 0.5, 0.5, 0.5, 0.3, 0.2, 0.1])
    report = evaluate(KINDS["binary"], predictions, labels, groups=groups)
    assert (report.num_groups, report.num_group_rows) == (2, 5)
    assert report["gauc"].value == pytest.approx((2 * 1 + 3 * 0.5) / 5)
    assert report.to_dict()["groups"] == 2
    assert report.to_dict()["group_rows"] == 5


def test_log_loss_clips_at_the_precision_of_the_predictions():
    certain = np.array([0.0, 1.0])
    for dtype in (np.float32, np.float64):
        found = quick_metric("log_loss", KINDS["binary"], certain.astype(dtype), [1.0, 0.0])
        assert found == pytest.approx(-np.log(np.finfo(dtype).eps), rel=1e-6)


def test_r2_survives_labels_far_from_zero():
    predictions, labels, _, _ = rows_of("regression")
    near = evaluate(KINDS["regression"], predictions, labels)["r2"]
    far = evaluate(KINDS["regression"], predictions + 1e7, labels + 1e7)["r2"]
    assert far.value == pytest.approx(near.value, rel=1e-6)
    assert far.low == pytest.approx(near.low, rel=1e-6)


ONE_CLASS = {
    "binary": ({"auc", "gauc"}, "the labels are all of one class"),
    "multiclass": ({"macro_auc"}, "the labels are all of one class"),
    "regression": ({"r2", "xauc", "gxauc"}, "the labels are all equal"),
    "count": ({"xauc", "gxauc"}, "the labels are all equal"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_equal_labels_leave_metrics_out_with_a_note(kind):
    predictions, _, groups, weights = rows_of(kind)
    labels = np.ones(len(predictions))
    absent, reason = ONE_CLASS[kind]
    report = evaluate(KINDS[kind], predictions, labels, groups=groups, weights=weights / 10)
    assert {name for name in METRICS[kind] if name not in report} == absent
    assert {note.split(":")[0] for note in report.notes} == {f"no {name}" for name in absent}
    assert any(reason in note for note in report.notes)
    for name in absent:
        assert np.isnan(quick_metric(name, KINDS[kind], predictions, labels, groups))
        with pytest.raises(KeyError):
            report[name]
    assert [gain.name for gain in compare(KINDS[kind], predictions, predictions, labels)] == [
        name for name in METRICS[kind] if name not in absent and name[0] != "g"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_no_labelled_row_is_said_and_does_not_crash(kind):
    predictions, labels, groups, _ = rows_of(kind, size=6)
    labels[:] = np.nan
    report = evaluate(KINDS[kind], predictions, labels, groups=groups)
    assert report.metrics == ()
    assert report.notes == ("no metric: there is no labelled row",)
    assert (report.num_rows, report.num_unlabelled, report.mean_label) == (0, 6, None)
    assert np.isnan(quick_metric(METRICS[kind][0], KINDS[kind], predictions, labels))
    assert compare(KINDS[kind], predictions, predictions, labels) == ()
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["rows"] == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("is_grouped", [False, True])
def test_few_rows_do_not_crash_and_claim_nothing_infinite(kind, size, is_grouped):
    for seed in range(5):
        predictions, labels, _, _ = rows_of(kind, size=size, seed=seed)
        options = {"groups": np.arange(size) // 2 if is_grouped else None, "num_resamples": 40}
        report = evaluate(KINDS[kind], predictions, labels, **options)
        compare(KINDS[kind], predictions, predictions[::-1], labels, **options)
        json.dumps(report.to_dict(), allow_nan=False)
        for metric in report.metrics:
            if metric.low is not None:
                assert size > 1 and metric.low < metric.high


@pytest.mark.parametrize("groups", [None, np.arange(20)])
def test_a_perfect_auc_has_no_interval_and_a_note(groups):
    labels = np.arange(20) % 2.0
    report = evaluate(KINDS["binary"], 0.2 + 0.5 * labels, labels, groups=groups)
    assert report["auc"].value == 1
    assert report["auc"].low is None
    unit = "rows" if groups is None else "groups"
    assert f"no interval of auc: these 20 {unit} do not show how it varies" in report.notes
    assert report.to_dict()["auc_interval"] is None


def test_one_group_gives_no_interval():
    predictions, labels, _, _ = rows_of("regression")
    groups = np.zeros(len(labels), int)
    report = evaluate(KINDS["regression"], predictions, labels, groups=groups)
    assert all(metric.low is None for metric in report.metrics)
    gains = compare(KINDS["regression"], predictions, predictions + 1, labels, groups=groups)
    assert {gain.name for gain in gains if gain.low is None} >= {"rmse", "mae", "r2"}


def test_calibration_without_a_positive_is_absent():
    report = evaluate(KINDS["binary"], [0.1, 0.2, 0.3], [0.0, 0, 0])
    assert "no calibration: the labels sum to 0" in report.notes
    assert report.mean_label == 0
    assert report.num_positive == 0


def test_intervals_can_be_left_out():
    predictions, labels, groups, _ = rows_of("binary")
    report = evaluate(KINDS["binary"], predictions, labels, groups=groups, intervals=False)
    assert all(metric.low is None for metric in report.metrics)
    assert report.notes == ()


@pytest.mark.parametrize("kind", KINDS)
def test_the_record_is_flat_json(kind):
    predictions, labels, groups, _ = rows_of(kind)
    report = evaluate(KINDS[kind], predictions.astype(np.float32), labels, groups=groups)
    record = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    for metric in report.metrics:
        assert record[metric.name] == metric.value
        assert record[f"{metric.name}_interval"] == [metric.low, metric.high]
    assert record["rows"] == 300
    assert record["unlabelled"] == 0
    if kind == "binary":
        assert record["mean_label"] == labels.mean()
        assert record["positives"] == labels.sum()
    elif kind != "multiclass":
        assert record["mean_label"] == pytest.approx(labels.mean())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_grouped", [False, True])
def test_gains_are_differences_in_the_better_direction(kind, is_grouped):
    a, labels, groups, weights = rows_of(kind)
    b = a[np.random.default_rng(1).permutation(len(a))]
    options = {"weights": weights, "groups": groups if is_grouped else None}
    report_a, report_b = (evaluate(KINDS[kind], p, labels, **options) for p in (a, b))
    gains = compare(KINDS[kind], a, b, labels, **options)
    assert [gain.name for gain in gains] == [metric.name for metric in report_a.metrics]
    for gain, forth, back in zip(
        gains, report_a.metrics, compare(KINDS[kind], b, a, labels, **options)
    ):
        other = report_b[gain.name].value
        if forth.direction == "to 1":
            assert gain.value == pytest.approx(abs(other - 1) - abs(forth.value - 1))
        else:
            sign = 1 if forth.direction == "higher" else -1
            assert gain.value == pytest.approx(sign * (forth.value - other))
            assert gain.value > 0, "the shuffled predictions must be worse"
        assert gain.low < gain.value < gain.high
        assert back.value == pytest.approx(-gain.value)
        assert back.low == pytest.approx(-gain.high)


def test_the_gain_of_calibration_is_in_its_distance_from_one():
    labels = np.tile([0.0, 1.0], 50)
    low, high = np.full(100, 0.45), np.full(100, 0.65)
    gain = {g.name: g for g in compare(KINDS["binary"], low, high, labels)}["calibration"]
    assert gain.value == pytest.approx(0.3 - 0.1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_grouped", [False, True])
def test_a_model_gains_nothing_on_itself(kind, is_grouped):
    predictions, labels, groups, _ = rows_of(kind)
    gains = compare(
        KINDS[kind], predictions, predictions, labels, groups=groups if is_grouped else None
    )
    assert len(gains) >= 3
    for gain in gains:
        assert (gain.value, gain.low, gain.high) == (0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_grouped", [False, True])
def test_pairing_narrows_the_interval_of_a_gain(kind, is_grouped):
    a, labels, groups, _ = rows_of(kind)
    b = a / (1 + 0.01 * np.random.default_rng(1).random(a.shape))
    b = b / b.sum(axis=1, keepdims=True) if kind == "multiclass" else b
    used_groups = groups if is_grouped else None
    alone = {m.name: m for m in evaluate(KINDS[kind], a, labels, groups=used_groups).metrics}
    for gain in compare(KINDS[kind], a, b, labels, groups=used_groups):
        width = alone[gain.name].high - alone[gain.name].low
        assert gain.high - gain.low < width / 3


def test_unknown_names_hint_at_the_nearest():
    with pytest.raises(
        UserError, match="unknown metric 'rmes' of a count task - did you mean 'rmse'"
    ):
        quick_metric("rmes", KINDS["count"], [1.0], [1.0])
    with pytest.raises(UserError, match="of a regression task"):
        quick_metric("auc", KINDS["regression"], [1.0], [1.0])
    with pytest.raises(UserError, match="group column"):
        quick_metric("gauc", KINDS["binary"], [0.1, 0.2], [1.0, 0.0])


MISTAKES = [
    ("binary", [0.1, 0.2], [[0.0, 1.0]], {}, "labels must be of shape"),
    ("binary", [0.1, 0.2, 0.3], [0.0, 1.0], {}, r"shape \(2,\) as the labels, but it is \(3,\)"),
    ("binary", [[0.1], [0.2]], [0.0, 1.0], {}, r"as the labels, but it is \(2, 1\)"),
    ("multiclass", [0.1, 0.2], [0.0, 1.0], {}, "class probabilities of shape"),
    ("multiclass", [[0.5, 0.6], [0.5, 0.5]], [0.0, 1.0], {}, "sum to 1"),
    ("binary", [0.1, np.nan, 0.3], [np.nan, 1.0, 0.0], {}, "1 of 2 .* first in row 1"),
    ("regression", [0.1, np.inf], [0.0, 1.0], {}, "not finite"),
    ("binary", [-2.0, 3.0], [0.0, 1.0], {}, "such as the sigmoid .* from -2 to 3"),
    (
        "binary",
        [0.1, 0.2],
        [0.0, 2.0],
        {},
        "must be 0 or 1, or a probability, or NaN if unknown, but one is 2",
    ),
    ("multiclass", [[0.5, 0.5]], [2.0], {}, "whole number from 0 to 1"),
    ("count", [1.0, 2.0], [1.0, -1.0], {}, "must be 0 or more"),
    ("count", [1.0, -2.0], [1.0, 1.0], {}, "0 or more, but they run from -2"),
    ("regression", [1.0, 2.0], [1.0, -np.inf], {}, "1 labels are infinite"),
    ("binary", [0.1, 0.2], [0.0, 1.0], {"weights": [1.0]}, "weights must be of shape"),
    ("binary", [0.1, 0.2], [0.0, 1.0], {"weights": [1.0, -1.0]}, "not negative"),
    ("binary", [0.1, 0.2], [0.0, 1.0], {"groups": [1]}, "groups must be of shape"),
]


@pytest.mark.parametrize(("kind", "predictions", "labels", "options", "message"), MISTAKES)
def test_mistakes_are_named(kind, predictions, labels, options, message):
    with pytest.raises(UserError, match=message):
        evaluate(KINDS[kind], predictions, labels, **options)
