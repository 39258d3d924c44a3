"""Sampling errors against brute force, and resamples against rows written out again and again."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from polytask.errors import UserError
from polytask.kinds import Binary, Count, Multiclass, Regression
from polytask.metrics import compare, evaluate, intervals, quick_metric
from polytask.metrics.definition import definition_of
from polytask.metrics.rows import read_rows

KINDS = {kind.name: kind for kind in (Binary(), Multiclass(), Regression(), Count())}
METRICS = {name: tuple(each.name for each in kind.metrics) for name, kind in KINDS.items()}


def binary_rows(size=400, rate=0.3, decimals=2, seed=0):
    random = np.random.default_rng(seed)
    labels = (random.random(size) < rate).astype(float)
    predictions = (0.6 * random.random(size) + 0.2 * labels).round(decimals)
    return predictions, labels


def rows_of(kind, size=240, seed=0):
    """Predictions, labels, groups and weights that define every metric of the kind."""
    random = np.random.default_rng(seed)
    groups, weights = random.integers(0, 30, size), random.integers(1, 4, size) / 2
    if kind == "binary":
        return *binary_rows(size), groups, weights
    if kind == "multiclass":
        labels = random.integers(0, 4, size).astype(float)
        odds = random.gamma(1, size=(size, 4)) + (labels[:, None] == np.arange(4))
        return odds / odds.sum(axis=1, keepdims=True), labels, groups, weights
    labels = random.poisson(4, size).astype(float)
    return 1 + labels * random.gamma(3, 1 / 3, size), labels, groups, weights


RESAMPLED = [
    (kind, name, is_grouped)
    for kind, names in METRICS.items()
    for name in names
    for is_grouped in (False, True)
    if not (name in ("macro_auc", "xauc") or (name == "auc" and not is_grouped))
    and (is_grouped or name not in ("gauc", "gxauc"))
]


def components_of_delong(scores, labels):
    """Structural components by the definition: all pairs."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    return wins.mean(axis=1), wins.mean(axis=0)


@pytest.mark.parametrize("decimals", [1, 12])
def test_error_of_auc_is_delongs(decimals):
    scores, labels = binary_rows(decimals=decimals)
    of_positives, of_negatives = components_of_delong(scores, labels)
    variance = np.var(of_positives, ddof=1) / len(of_positives)
    variance += np.var(of_negatives, ddof=1) / len(of_negatives)
    statistic = definition_of("auc", KINDS["binary"]).statistic(
        read_rows(KINDS["binary"].space, scores, labels)
    )
    assert np.sum(statistic.influence_U**2) == pytest.approx(variance, rel=1e-10)
    auc = evaluate(KINDS["binary"], scores, labels)["auc"]
    logit, half_width = np.log(auc.value / (1 - auc.value)), 1.959964 * variance**0.5
    half_width /= auc.value * (1 - auc.value)
    assert auc.low == pytest.approx(1 / (1 + np.exp(half_width - logit)), abs=1e-6)
    assert auc.high == pytest.approx(1 / (1 + np.exp(-half_width - logit)), abs=1e-6)


def test_paired_error_of_auc_is_delongs():
    a, labels = binary_rows()
    b = (a + 0.1 * np.random.default_rng(1).random(len(a))).round(2)
    of_a, of_b = components_of_delong(a, labels), components_of_delong(b, labels)
    variance = 0.0
    for x, y in zip(of_a, of_b):
        covariance = np.cov(x, y) / len(x)
        variance += covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    gain = compare(KINDS["binary"], a, b, labels)[0]
    assert gain.name == "auc"
    assert gain.value == pytest.approx(roc_auc_score(labels, a) - roc_auc_score(labels, b))
    half_width = (gain.high - gain.low) / 2
    assert half_width == pytest.approx(1.959964 * variance**0.5, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "name"), [("binary", "auc"), ("multiclass", "macro_auc"), ("regression", "xauc")]
)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_influence_is_the_derivative_by_the_rows_weight(kind, name, is_weighted):
    predictions, labels, _, weights = rows_of(kind, size=800)
    weights = weights if is_weighted else np.ones(800)
    rows = read_rows(KINDS[kind].space, predictions, labels, weights=weights)
    influence = definition_of(name, KINDS[kind]).statistic(rows).influence_U
    for row in range(0, 800, 80):
        low, high = (
            quick_metric(name, KINDS[kind], predictions, labels, weights=weights * factors)
            for factors in (1 - 1e-5 * (np.arange(800) == row), 1 + 1e-5 * (np.arange(800) == row))
        )
        # What is left are the factors sqrt(m / (m - 1)) for small samples; m is 160 or more.
        assert (high - low) / 2e-5 == pytest.approx(influence[row], rel=0.004, abs=1e-9)


@pytest.mark.parametrize(("kind", "name"), [("multiclass", "macro_auc"), ("regression", "xauc")])
@pytest.mark.parametrize("is_grouped", [False, True])
def test_closed_form_equals_the_spread_of_exact_resamples(kind, name, is_grouped):
    predictions, labels, groups, _ = rows_of(kind, size=240)
    used_groups = groups if is_grouped else None
    interval = evaluate(KINDS[kind], predictions, labels, groups=used_groups)[name]
    random = np.random.default_rng(10)
    values = []
    for _ in range(300):
        drawn = random.integers(30, size=30) if is_grouped else random.integers(240, size=240)
        take = np.concatenate([np.flatnonzero(groups == g) for g in drawn]) if is_grouped else drawn
        values.append(quick_metric(name, KINDS[kind], predictions[take], labels[take]))
    width = 2 * 1.96 * np.std(values)
    assert interval.high - interval.low == pytest.approx(width, rel=0.13)


@pytest.mark.parametrize(("kind", "name", "is_grouped"), RESAMPLED)
def test_a_resample_equals_its_rows_written_out(kind, name, is_grouped):
    predictions, labels, groups, weights = rows_of(kind)
    definition = definition_of(name, KINDS[kind])
    used_groups = groups if is_grouped else None
    rows = read_rows(KINDS[kind].space, predictions, labels, weights=weights, groups=used_groups)
    statistic = definition.statistic(rows)
    assert statistic.influence_U is None
    # Another seed than the rows': counts drawn by the labels' own random numbers leave out positives.
    random = np.random.default_rng(10)
    counts = random.multinomial(rows.num_units, np.full(rows.num_units, 1 / rows.num_units), 5)
    for value, count in zip(statistic.values(counts.astype(float)), counts):
        times = count[groups] if is_grouped else count
        take = np.repeat(np.arange(len(labels)), times)
        # A group drawn twice is two groups: number the copies of each row.
        copy = np.concatenate([np.arange(t) for t in times])
        assert value == pytest.approx(
            quick_metric(
                name,
                KINDS[kind],
                predictions[take],
                labels[take],
                groups[take] * 100 + copy if definition.needs_groups else None,
                weights=weights[take],
            ),
            rel=1e-10,
        )


def test_auc_on_resampled_groups_equals_scikit_learn():
    predictions, labels, groups, weights = rows_of("binary")
    rows = read_rows(KINDS["binary"].space, predictions, labels, weights=weights, groups=groups)
    statistic = definition_of("auc", KINDS["binary"]).statistic(rows)
    counts = np.random.default_rng(10).integers(0, 3, (4, rows.num_units)).astype(float)
    for value, count in zip(statistic.values(counts), counts):
        expected = roc_auc_score(labels, predictions, sample_weight=count[groups] * weights)
        assert value == pytest.approx(expected, abs=1e-12)


def test_counts_are_multinomial_and_do_not_depend_on_the_chunks(monkeypatch):
    class Spy:
        """Keeps the counts and answers with their first column."""

        influence_U = None

        def __init__(self):
            self.seen = []

        def values(self, counts_RU):
            self.seen.append(counts_RU.copy())
            return counts_RU[:, 0]

    spy = Spy()
    draws = intervals.Draws(num_resamples=2000, seed=3)
    whole = intervals.resample([spy], 50, draws)
    counts = np.concatenate(spy.seen)
    assert counts.shape == (2000, 50)
    assert (counts.sum(axis=1) == 50).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.12)
    assert counts.var() == pytest.approx(1 - 1 / 50, rel=0.05)
    monkeypatch.setattr(intervals, "_CELLS_AT_ONCE", 7 * 50)
    fresh = intervals.Draws(num_resamples=2000, seed=3)
    np.testing.assert_array_equal(intervals.resample([Spy()], 50, fresh), whole)
    # Drawn once and kept, or drawn again: the same.
    np.testing.assert_array_equal(intervals.resample([Spy()], 50, draws), whole)
    intervals.resample([Spy()], 20, draws)
    np.testing.assert_array_equal(intervals.resample([Spy()], 50, draws), whole)
    monkeypatch.setattr(intervals, "_MOST_KEPT", 0)
    too_many = intervals.Draws(num_resamples=2000, seed=3)
    for _ in range(2):
        np.testing.assert_array_equal(intervals.resample([Spy()], 50, too_many), whole)


def test_percentiles_of_200_resamples_leave_out_a_fortieth_on_each_side():
    values = np.random.default_rng(0).permutation(np.arange(1.0, 201))
    interval = intervals.interval_of_resamples(values)
    assert interval.low == pytest.approx(0.025 * 201)
    assert interval.high == pytest.approx(0.975 * 201)


def test_resamples_that_lack_the_metric_are_left_out_up_to_a_tenth():
    values = np.arange(1.0, 201)
    values[:20] = np.nan
    assert intervals.interval_of_resamples(values).low > 20
    values[20] = np.nan
    assert intervals.interval_of_resamples(values) is None


def test_seed_repeats_and_changes_the_resamples():
    predictions, labels, groups, _ = rows_of("binary")
    first, again, other = (
        evaluate(KINDS["binary"], predictions, labels, groups=groups, seed=seed)
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first["log_loss"].low != other["log_loss"].low
    assert first["log_loss"].value == other["log_loss"].value


def test_groups_widen_the_interval_where_rows_within_a_group_are_alike():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 20)
    labels = (random.random(50) < 0.4)[groups].astype(float)
    predictions = (0.5 * random.random(50) + 0.1)[groups] + 0.2 * labels + 0.1 * random.random(1000)
    alone = evaluate(KINDS["binary"], predictions, labels)
    grouped = evaluate(KINDS["binary"], predictions, labels, groups=groups)
    for name in ("auc", "log_loss", "calibration"):
        width = alone[name].high - alone[name].low
        grouped_width = grouped[name].high - grouped[name].low
        assert grouped_width > 3 * width


def test_too_few_resamples_are_refused():
    predictions, labels = binary_rows()
    with pytest.raises(UserError, match="40 or more"):
        evaluate(KINDS["binary"], predictions, labels, num_resamples=20)
