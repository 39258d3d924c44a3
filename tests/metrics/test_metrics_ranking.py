"""Pairs counted by sorting against pairs counted one by one, and against scikit-learn and scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import somersd
from sklearn.metrics import roc_auc_score

from polytask.kinds import Binary, Count, Multiclass, Regression
from polytask.metrics import quick_metric
from polytask.metrics.ranking import PairWeights, binary_pairs, ordered_pairs

KINDS = {kind.name: kind for kind in (Binary(), Multiclass(), Regression(), Count())}


def pairs_one_by_one(scores, labels, weights, groups) -> PairWeights:
    """O(n^2), straight from the definition."""
    same_group = groups[:, None] == groups
    by_label = np.sign(labels[:, None] - labels) * same_group
    agreement = by_label * np.sign(scores[:, None] - scores)
    correct = (agreement > 0) + 0.5 * ((agreement == 0) & (by_label != 0))
    return PairWeights(correct @ weights, (by_label != 0) @ weights)


@st.composite
def tied_rows(draw):
    size = draw(st.integers(1, 70))
    seed = draw(st.integers(0, 2**32 - 1))
    levels = draw(st.integers(1, 8))
    random = np.random.default_rng(seed)
    return (
        random.integers(0, levels, size).astype(float) / 7,
        random.integers(0, levels, size).astype(float) - 2,
        random.integers(1, 4, size) / 2,
        random.integers(0, draw(st.integers(1, 6)), size),
    )


@settings(max_examples=150, deadline=None)
@given(rows=tied_rows(), is_grouped=st.booleans())
def test_ordered_pairs_equal_the_definition(rows, is_grouped):
    scores, labels, weights, groups = rows
    if not is_grouped:
        groups = np.zeros_like(groups)
    expected = pairs_one_by_one(scores, labels, weights, groups)
    found = ordered_pairs(scores, labels, weights, groups if is_grouped else None)
    np.testing.assert_allclose(found.correct_B, expected.correct_B, atol=1e-12)
    np.testing.assert_allclose(found.total_B, expected.total_B, atol=1e-12)


@settings(max_examples=150, deadline=None)
@given(rows=tied_rows(), is_grouped=st.booleans())
def test_binary_pairs_equal_the_definition(rows, is_grouped):
    scores, labels, weights, groups = rows
    if not is_grouped:
        groups = np.zeros_like(groups)
    is_positive = labels > 0
    expected = pairs_one_by_one(scores, is_positive.astype(float), weights, groups)
    found = binary_pairs(scores, is_positive, weights, groups if is_grouped else None)
    np.testing.assert_allclose(found.correct_B, expected.correct_B, atol=1e-12)
    np.testing.assert_allclose(found.total_B, expected.total_B, atol=1e-12)


@pytest.mark.parametrize("size", [2, 3, 127, 128, 129, 1000])
def test_ordered_pairs_at_sizes_around_powers_of_two(size):
    random = np.random.default_rng(size)
    scores, labels, weights = random.normal(size=size), random.gamma(1, size=size), np.ones(size)
    expected = pairs_one_by_one(scores, labels, weights, np.zeros(size))
    found = ordered_pairs(scores, labels, weights)
    np.testing.assert_array_equal(found.correct_B, expected.correct_B)
    np.testing.assert_array_equal(found.total_B, expected.total_B)


@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_auc_equals_scikit_learn(decimals):
    random = np.random.default_rng(0)
    labels = (random.random(3000) < 0.1).astype(float)
    scores = (0.3 * random.random(3000) + 0.1 * labels).round(decimals)
    weights = random.gamma(2, size=3000)
    assert quick_metric("auc", KINDS["binary"], scores, labels) == pytest.approx(
        roc_auc_score(labels, scores), abs=1e-12
    )
    assert quick_metric("auc", KINDS["binary"], scores, labels, weights=weights) == pytest.approx(
        roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12
    )


def test_xauc_is_somers_d_of_predictions_given_labels():
    # Somers' D leaves out pairs with equal labels and counts tied predictions as 0: D = 2 XAUC - 1.
    random = np.random.default_rng(0)
    labels = random.integers(0, 20, 300).astype(float)
    predictions = (labels + random.normal(scale=8, size=300)).round()
    expected = (somersd(labels, predictions).statistic + 1) / 2
    assert quick_metric("xauc", KINDS["regression"], predictions, labels) == pytest.approx(expected)


def test_xauc_of_two_label_values_is_auc():
    random = np.random.default_rng(0)
    labels = (random.random(500) < 0.3).astype(float)
    scores = random.random(500).round(2)
    assert quick_metric("xauc", KINDS["regression"], scores, labels) == pytest.approx(
        quick_metric("auc", KINDS["binary"], scores, labels), abs=1e-14
    )


def test_xauc_of_a_perfect_ranking_is_one_whatever_the_ties_among_labels():
    labels = np.array([0.0, 0, 0, 5, 5, 9])
    assert quick_metric("xauc", KINDS["regression"], labels * 3 + 1, labels) == 1
    assert quick_metric("xauc", KINDS["regression"], -labels, labels) == 0
    assert quick_metric("xauc", KINDS["regression"], np.zeros(6), labels) == 0.5


def group_mean(scores, labels, weights, groups, share) -> tuple[float, int, int]:
    """Mean over groups with two different labels, weighted by their rows; and how many they are."""
    total = weight = 0.0
    num_groups = num_rows = 0
    for group in np.unique(groups):
        inside = groups == group
        if len(np.unique(labels[inside])) > 1:
            total += share(labels[inside], scores[inside], weights[inside]) * weights[inside].sum()
            weight += weights[inside].sum()
            num_groups += 1
            num_rows += inside.sum()
    return total / weight, num_groups, num_rows


@pytest.mark.parametrize("is_weighted", [False, True])
def test_gauc_equals_a_loop_over_users(is_weighted):
    random = np.random.default_rng(0)
    groups = random.zipf(1.5, 2000) % 300
    labels = (random.random(2000) < 0.3).astype(float)
    scores = (0.5 * random.random(2000) + 0.2 * labels).round(2)
    weights = random.gamma(2, size=2000) if is_weighted else np.ones(2000)
    expected, _, _ = group_mean(
        scores, labels, weights, groups, lambda y, s, w: roc_auc_score(y, s, sample_weight=w)
    )
    found = quick_metric("gauc", KINDS["binary"], scores, labels, groups, weights=weights)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_gxauc_equals_a_loop_over_users(is_weighted):
    random = np.random.default_rng(0)
    groups = random.zipf(1.5, 1500) % 300
    labels = random.gamma(1, 3, 1500).round()
    predictions = (labels + random.normal(scale=4, size=1500)).round(1)
    weights = random.gamma(2, size=1500) if is_weighted else np.ones(1500)

    def share(y, s, w):
        pairs = pairs_one_by_one(s, y, w, np.zeros(len(y)))
        return (w @ pairs.correct_B) / (w @ pairs.total_B)

    expected, _, _ = group_mean(predictions, labels, weights, groups, share)
    found = quick_metric("gxauc", KINDS["regression"], predictions, labels, groups, weights=weights)
    assert found == pytest.approx(expected, abs=1e-12)


def test_equal_labels_within_a_group_are_seen_through_the_rounding_of_weights():
    # 0.1 + 0.2 + 0.3 depends on the order of addition: total pairs are 1e-17, not 0.
    groups = np.repeat(np.arange(50), 3)
    labels = np.repeat(np.arange(50.0) % 7, 3)
    labels[:3] = [1, 2, 3]
    weights = np.tile([0.1, 0.2, 0.3], 50)
    random = np.random.default_rng(0)
    predictions = random.random(150)
    predictions[:3] = [4, 5, 6]
    found = quick_metric("gxauc", KINDS["regression"], predictions, labels, groups, weights=weights)
    assert found == pytest.approx(1, abs=1e-12)
