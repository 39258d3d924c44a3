"""Do the 95 % intervals hold the truth 95 times of 100? Simulations whose truth is known."""

import time
from statistics import NormalDist

import numpy as np
import pytest

from polytask.kinds import Binary, Count, Multiclass, Regression
from polytask.metrics import compare, evaluate

KINDS = {kind.name: kind for kind in (Binary(), Multiclass(), Regression(), Count())}

NORMAL = NormalDist()
AUC = 0.75
SHIFT = NORMAL.inv_cdf(AUC) * 2**0.5
"""Positives ~ N(SHIFT, 1), negatives ~ N(0, 1): AUC = Phi(SHIFT / sqrt 2)."""

NUM_GROUPS, ROWS_A_GROUP = 150, 6


def logistic(scores):
    return 1 / (1 + np.exp(-scores))


def labels_with(random, rate):
    return (random.random(len(rate)) < rate).astype(float)


def new_seed(random) -> int:
    """Each simulation draws its own resamples."""
    return int(random.integers(2**31))


def auc_by_delong(random):
    labels = labels_with(random, np.full(400, 0.3))
    scores = random.normal(size=400) + SHIFT * labels
    return evaluate(KINDS["binary"], logistic(scores), labels)["auc"], AUC


def gain_of_auc_by_delong(random):
    labels = labels_with(random, np.full(400, 0.3))
    shared = random.normal(scale=0.8**0.5, size=400)
    a, b = (shared + random.normal(scale=0.2**0.5, size=400) + s * SHIFT * labels for s in (1, 0.9))
    truth = AUC - NORMAL.cdf(0.9 * SHIFT / 2**0.5)
    return compare(KINDS["binary"], logistic(a), logistic(b), labels)[0], truth


def clustered(random):
    """Rows of a group share half of the score's variance and a tendency to be positive.

    Between groups AUC is Phi(SHIFT / sqrt 2), within them Phi(SHIFT); few pairs lie within.
    """
    groups = np.repeat(np.arange(NUM_GROUPS), ROWS_A_GROUP)
    labels = labels_with(random, logistic(2 * random.normal(size=NUM_GROUPS))[groups])
    shared = random.normal(scale=0.5**0.5, size=NUM_GROUPS)[groups]
    scores = shared + random.normal(scale=0.5**0.5, size=len(groups)) + SHIFT * labels
    return logistic(scores), labels, groups


def auc_by_groups(random):
    scores, labels, groups = clustered(random)
    report = evaluate(KINDS["binary"], scores, labels, groups=groups, seed=new_seed(random))
    return report["auc"], AUC


def auc_by_rows_that_are_not_independent(random):
    scores, labels, _ = clustered(random)
    return evaluate(KINDS["binary"], scores, labels)["auc"], AUC


def gauc_by_groups(random):
    scores, labels, groups = clustered(random)
    report = evaluate(KINDS["binary"], scores, labels, groups=groups, seed=new_seed(random))
    return report["gauc"], NORMAL.cdf(SHIFT)


def xauc_of_correlated_normals(random):
    labels = random.normal(size=400)
    predictions = 0.6 * labels + 0.8 * random.normal(size=400)
    truth = 0.5 + np.arcsin(0.6) / np.pi
    return evaluate(KINDS["regression"], predictions, labels)["xauc"], truth


def mae_by_resamples(random):
    labels = random.normal(size=400)
    predictions = labels + random.normal(size=400)
    report = evaluate(KINDS["regression"], predictions, labels, seed=new_seed(random))
    return report["mae"], (2 / np.pi) ** 0.5


def share_of_hits(simulate, num_simulations) -> float:
    """How often `simulate(random)` gives an interval that holds its truth."""
    random = np.random.default_rng(2024)
    hits = 0
    for _ in range(num_simulations):
        interval, truth = simulate(random)
        hits += interval.low <= truth <= interval.high
    return hits / num_simulations


SIMULATIONS = [
    auc_by_delong,
    gain_of_auc_by_delong,
    auc_by_groups,
    gauc_by_groups,
    xauc_of_correlated_normals,
    mae_by_resamples,
]


@pytest.mark.parametrize("simulate", SIMULATIONS)
def test_coverage_quick(simulate):
    assert share_of_hits(simulate, 40) >= 0.85


@pytest.mark.slow
@pytest.mark.parametrize("simulate", SIMULATIONS)
def test_coverage(simulate):
    assert 0.93 <= share_of_hits(simulate, 600) <= 0.97


@pytest.mark.slow
def test_rows_of_one_group_are_no_independent_evidence():
    assert share_of_hits(auc_by_rows_that_are_not_independent, 300) < 0.9


@pytest.mark.slow
def test_four_tasks_on_100k_rows_take_less_than_five_seconds():
    random = np.random.default_rng(0)
    groups = random.integers(0, 7000, 100_000)
    scores = random.normal(size=100_000)
    seconds = np.round(random.gamma(1, 20, 100_000) * np.exp(0.3 * scores), 2)
    start = time.process_time()  # the processor's time: other programs on it do not count
    for rate in (0.4, 0.3, 0.02):
        labels = (random.random(100_000) < rate * 2 * logistic(scores)).astype(float)
        evaluate(KINDS["binary"], rate * 2 * logistic(scores), labels, groups=groups)
    evaluate(KINDS["regression"], 20 * np.exp(0.3 * scores), seconds, groups=groups)
    assert time.process_time() - start < 5
