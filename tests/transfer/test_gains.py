"""Intervals of repeated gains, shrinking, rank correlations and label correlations."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats

from polytask.records import Gain
from polytask.streams import Batch
from polytask.task import binary, multiclass, regression
from polytask.transfer.gains import Measured, rank_correlation, shrunk, with_intervals
from polytask.transfer.label_correlation import label_correlations


def test_seeds_alone_give_the_t_interval() -> None:
    values = np.array([0.01, 0.03, 0.02])
    [gain] = with_intervals([Measured("a", "auc", tuple(values), None)])
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert (gain.low, gain.high) == (pytest.approx(low), pytest.approx(high))


def test_rows_alone_give_the_normal_interval() -> None:
    [gain] = with_intervals([Measured("a", "auc", (0.02,), 0.01)])
    assert gain.high == pytest.approx(0.02 + 1.96 * 0.01, abs=1e-5)


def test_the_spread_of_seeds_is_pooled_within_a_task_only() -> None:
    steady = Measured("a", "auc", (0.02, 0.02), 0.0)
    wild = Measured("a", "auc", (0.0, 0.08), 0.0)
    [alone] = with_intervals([steady])
    pooled, _ = with_intervals([steady, wild])
    apart, _ = with_intervals([steady, Measured("b", "auc", (0.0, 0.08), 0.0)])
    assert alone.low == alone.value == pooled.value
    assert pooled.low < 0 < pooled.high
    assert apart == alone


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Gains whose rows and seeds vary: about 95 of 100 intervals hold the truth."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        gains = []
        for truth in (0.0, 0.1, 0.2):
            of_rows = rng.normal(scale=0.02)
            values = truth + of_rows + rng.normal(scale=0.03, size=3)
            gains.append(Measured("a", "auc", tuple(values), 0.02))
        covered += sum(
            gain.low <= truth <= gain.high
            for gain, truth in zip(with_intervals(gains), (0.0, 0.1, 0.2))
        )
    assert 0.935 <= covered / 3000 <= 0.975


def test_nothing_known_of_the_spread_gives_no_interval() -> None:
    [gain] = with_intervals([Measured("a", "auc", (0.02,), None)])
    assert gain == Gain("auc", 0.02)
    assert shrunk(gain) == 0


def test_shrinking_keeps_sure_gains_and_drops_chance() -> None:
    assert shrunk(Gain("auc", 0.5, 0.49, 0.51)) == pytest.approx(0.5, rel=1e-3)
    assert shrunk(Gain("auc", -0.5, -0.51, -0.49)) == pytest.approx(-0.5, rel=1e-3)
    assert shrunk(Gain("auc", 0.01, -0.02, 0.04)) == 0


def test_rank_correlation_is_spearman_s_without_what_is_not_known() -> None:
    rng = np.random.default_rng(1)
    scores, gains = rng.normal(size=30), rng.normal(size=30)
    scores[3] = np.nan
    found = rank_correlation(scores, gains)
    kept = np.arange(30) != 3
    assert found.value == pytest.approx(stats.spearmanr(scores[kept], gains[kept]).statistic)
    assert found.num_points == 29 and found.low < found.value < found.high
    fewer = rank_correlation(scores, gains, num_independent=15)
    assert fewer.low < found.low


def test_few_or_constant_points_say_nothing() -> None:
    assert rank_correlation([1, 2, 3], [1, 2, 3]).low == -1.0
    assert rank_correlation([1, 1, 1], [1, 2, 3]).value is None
    assert rank_correlation([], []).num_points == 0


def _batch(**labels: list[float]) -> Batch:
    named = {name: torch.tensor(values) for name, values in labels.items()}
    return Batch({"x": torch.zeros(len(next(iter(named.values()))))}, named)


def test_label_correlations_are_pearson_s_and_the_correlation_ratio() -> None:
    rng = np.random.default_rng(2)
    classes = rng.integers(0, 3, size=300)
    quantity = np.array([0.0, 5.0, 1.0])[classes] + rng.normal(size=300)
    is_large = (quantity > 2).astype(float)
    batch = _batch(c=classes.astype(float).tolist(), q=quantity.tolist(), y=is_large.tolist())
    tasks = [multiclass("c"), regression("q"), binary("y")]
    tasks[0] = replace(tasks[0], kind=tasks[0].kind.fit(pa.chunked_array([classes]), "c"))
    found = label_correlations(tasks, batch)
    assert found[1, 2] == pytest.approx(np.corrcoef(quantity, is_large)[0, 1], abs=1e-5)
    means = np.array([quantity[classes == c].mean() for c in range(3)])[classes]
    ratio = means.std() / quantity.std()
    assert found[0, 1] == pytest.approx(ratio, abs=1e-5)
    np.testing.assert_allclose(found, found.T, atol=1e-9)
    np.testing.assert_allclose(found.diagonal(), 1, atol=1e-9)


def test_tasks_that_share_no_rows_have_no_label_correlation() -> None:
    nan = float("nan")
    batch = _batch(a=[0.0, 1, 0, 1, nan, nan, nan], b=[nan, nan, nan, nan, 1.0, 0, 1])
    found = label_correlations([binary("a"), binary("b")], batch)
    assert np.isnan(found[0, 1]) and found[0, 0] == pytest.approx(1)
