"""Intervals cover what they say, Delta_m and ranks are the published tables', Holm is Holm."""

import itertools
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from polytask.kinds import Binary
from polytask.metrics import quick_metric, resampled
from polytask.study import MetricPair, delta_m, holm, mean_over_seeds, mean_ranks
from polytask.study.statistics import half_width

GOLDENS = Path(os.environ.get("POLYTASK_GOLDENS", Path(__file__).parents[3] / "shared" / "goldens"))


def drawn(
    rng: np.random.Generator, *, seeds: int, of_seed: float, within: float, of_row: float
) -> tuple[np.ndarray, np.ndarray]:
    """Values whose true mean is 0, and the same on 200 resamples of 150 rows."""
    rows = 150
    values_SB = (
        rng.normal(scale=of_row, size=rows)
        + rng.normal(scale=within, size=(seeds, rows))
        + rng.normal(scale=of_seed, size=(seeds, 1))
    )
    counts_RB = rng.multinomial(rows, np.full(rows, 1 / rows), size=200) / rows
    return values_SB.mean(axis=1), values_SB @ counts_RB.T


SPREADS = {
    "seeds": {"of_seed": 0.1, "within": 0.0, "of_row": 0.0},
    "rows": {"of_seed": 0.0, "within": 0.0, "of_row": 1.0},
    "rows and seeds": {"of_seed": 0.05, "within": 0.5, "of_row": 1.0},
    "each seed's own rows": {"of_seed": 0.02, "within": 2.0, "of_row": 0.3},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SPREADS)
def test_95_of_100_intervals_hold_the_truth(name: str) -> None:
    rng = np.random.default_rng(1)
    found = [mean_over_seeds(*drawn(rng, seeds=5, **SPREADS[name])) for _ in range(2000)]
    covered = np.mean([mean.low <= 0 <= mean.high for mean in found])
    assert 0.93 <= covered <= 0.97, covered
    # And p-values of no difference are even.
    assert 0.03 <= np.mean([mean.p_value < 0.05 for mean in found]) <= 0.07


@pytest.mark.parametrize("share", [0, 0.3, 0.95, 1])
def test_half_widths_hold_the_truth_whatever_the_seeds_share_is(share: float) -> None:
    rng = np.random.default_rng(3)
    of_seeds_N = share * rng.chisquare(2, 20_000) / 2
    widths_N = np.array([half_width(0.95, 2, of_seeds, 1 - share) for of_seeds in of_seeds_N])
    assert 0.935 <= np.mean(np.abs(rng.normal(size=len(widths_N))) <= widths_N) <= 0.97


@pytest.mark.slow
def test_the_paired_interval_of_auc_holds_the_truth_as_often() -> None:
    """Two methods of equal AUC: scores are a signal with noise of the row, the seed and both."""
    rng = np.random.default_rng(2)
    definition = Binary().metric("auc")
    covered = []
    for _ in range(400):
        labels_B = (rng.random(400) < 0.3).astype(float)
        hard_B = rng.normal(size=400)
        models = []
        for _ in range(10):
            raw_B = labels_B + hard_B + rng.normal(size=400) + 0.2 * rng.normal() * labels_B
            models.append(1 / (1 + np.exp(-raw_B)))
        values_S, values_SR = resampled(definition, Binary(), models, labels_B)
        mean = mean_over_seeds(values_S[:5] - values_S[5:], values_SR[:5] - values_SR[5:])
        covered.append(mean.low <= 0 <= mean.high)
    assert 0.92 <= np.mean(covered) <= 0.98, np.mean(covered)


def test_seeds_alone_give_student_s_interval_and_p_value() -> None:
    values = np.array([0.01, 0.03, 0.02, 0.05])
    mean = mean_over_seeds(values, np.repeat(values[:, None], 50, axis=1))
    low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert (mean.low, mean.high) == (pytest.approx(low), pytest.approx(high))
    assert mean.p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-6)


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=6), st.integers(0, 1000))
def test_a_p_value_is_below_5_percent_just_where_the_interval_leaves_out_0(
    values: list[float], seed: int
) -> None:
    values_S = np.array(values)
    noise_SR = np.random.default_rng(seed).normal(scale=0.1, size=(len(values), 60))
    mean = mean_over_seeds(values_S, values_S[:, None] + noise_SR)
    assert (mean.p_value < 0.05) == (mean.low > 0 or mean.high < 0)


def test_two_seeds_give_no_interval() -> None:
    mean = mean_over_seeds(np.array([0.1, 0.2]), np.zeros((2, 100)))
    assert (mean.low, mean.high, mean.p_value) == (None, None, None)


def test_resamples_of_two_models_are_the_same_rows() -> None:
    """A metric on resamples is that of the drawn rows, and equal models differ on none of them."""
    rng = np.random.default_rng(0)
    labels_B = (rng.random(300) < 0.4).astype(float)
    scores_B = np.clip(0.3 * labels_B + rng.random(300) * 0.7, 0.01, 0.99)
    kind = Binary()
    for name in ("auc", "log_loss"):
        values_S, values_SR = resampled(kind.metric(name), kind, [scores_B, scores_B], labels_B)
        assert values_S[0] == pytest.approx(quick_metric(name, kind, scores_B, labels_B))
        assert np.array_equal(values_SR[0], values_SR[1])
        assert values_SR[0].std() > 0


@pytest.mark.parametrize("p_values", [[0.01, 0.04, 0.03], [0.5, 0.5], [0.001], [0.2, 1.0, 0.0]])
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    """Derived otherwise: the largest Bonferroni p-value over all families that hold the hypothesis."""
    places = range(len(p_values))
    for place, corrected in enumerate(holm(p_values)):
        families = [
            family
            for size in range(1, len(p_values) + 1)
            for family in itertools.combinations(places, size)
            if place in family
        ]
        closed = max(min(len(f) * min(p_values[i] for i in f), 1.0) for f in families)
        assert corrected == pytest.approx(closed)


@pytest.fixture(scope="module")
def nyuv2() -> dict:
    path = GOLDENS / "metrics.json"
    if not path.is_file():
        pytest.skip(f"the golden values are not there: {path}")
    return json.loads(path.read_text())["nyuv2"]


# Segmentation, depth, normals: 2 + 2 + 5 metrics.
NYUV2_TASKS = ("segmentation",) * 2 + ("depth",) * 2 + ("normals",) * 5


def test_delta_m_of_the_published_table_in_both_conventions(nyuv2: dict) -> None:
    directions = ["higher" if up else "lower" for up in nyuv2["higher_better"]]
    for name, method in nyuv2["methods"].items():
        pairs = [
            MetricPair(task, direction, ours, theirs)
            for task, direction, ours, theirs in zip(
                NYUV2_TASKS, directions, method["values"], nyuv2["stl"]
            )
        ]
        found = delta_m(pairs)
        assert found.num_metrics == 9
        assert found.over_metrics == pytest.approx(method["delta_m_drop"]), name
        assert found.over_tasks == pytest.approx(method["delta_m_per_task_first"]), name


def test_mean_ranks_of_the_published_table(nyuv2: dict) -> None:
    directions = ["higher" if up else "lower" for up in nyuv2["higher_better"]]
    found = mean_ranks({n: m["values"] for n, m in nyuv2["methods"].items()}, directions)
    for name, method in nyuv2["methods"].items():
        assert found[name] == pytest.approx(method["mean_rank_among_these_11"]), name


def test_delta_m_leaves_out_what_has_no_direction_and_what_cannot_be_divided_by() -> None:
    pairs = [
        MetricPair("a", "to 1", 2.0, 1.0),
        MetricPair("a", "higher", 0.3, 0.0),
        MetricPair("a", "higher", math.nan, 1.0),
    ]
    assert delta_m(pairs) is None
    assert delta_m([*pairs, MetricPair("a", "lower", 3.0, 2.0)]).over_metrics == 50.0


def test_a_negative_reference_keeps_the_sign_of_a_loss() -> None:
    """R2 below 0: from -0.5 to -0.4 is better."""
    assert delta_m([MetricPair("a", "higher", -0.4, -0.5)]).over_metrics < 0
