"""AUC from bins of scores: scikit-learn's where no two scores share a bin, else within the bound that is said."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from polytask.metrics.score_bins import ScoreBins

ROUNDING = 1e-12

SCORES = st.one_of(
    st.floats(0, 1, width=32),
    st.sampled_from([0.0, -0.0, 1e-7, 1.0000001e-7, 1e-38, 0.5, 1 - 2**-24, 1.0]),
    st.floats(-1e6, 1e6),
)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_sums_in_any_order_are_scikit_learns_auc_within_the_bound(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 60))
    pool = data.draw(st.lists(SCORES, min_size=1, max_size=40))
    score_B = np.array(data.draw(st.lists(st.sampled_from(pool), min_size=size, max_size=size)))
    is_yes_B = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    is_yes_B[:2] = True, False
    weights = st.lists(st.floats(1e-3, 1e3), min_size=size, max_size=size)
    weight_B = np.array(data.draw(weights))
    part_B = np.array(data.draw(st.lists(st.integers(0, 4), min_size=size, max_size=size)))
    exact = roc_auc_score(is_yes_B, score_B, sample_weight=weight_B)
    parts = [part_B == part for part in np.unique(part_B)]
    bins = [ScoreBins.of(score_B[part], is_yes_B[part], weight_B[part]) for part in parts]
    whole = reduce(ScoreBins.__add__, data.draw(st.permutations(bins))).auc()
    assert whole.bound == 0 and whole.value == pytest.approx(exact, abs=ROUNDING)

    # Each part in its own coarseness, and their sum once more.
    most = data.draw(st.integers(2, 20))
    coarse = [each.coarsened(data.draw(st.integers(2, 20))) for each in bins]
    summed = reduce(ScoreBins.__add__, data.draw(st.permutations(coarse))).coarsened(most)
    assert len(summed) <= most
    assert summed.positive_K.sum() == pytest.approx(weight_B[is_yes_B].sum())
    found = summed.auc()
    assert abs(found.value - exact) <= found.bound + ROUNDING
    distinct = len(np.unique(score_B))
    if distinct <= 2:
        assert found.bound == 0


@pytest.mark.parametrize("shape", ["clicks", "rare", "narrow", "near one"])
@pytest.mark.parametrize("num_parts", [1, 8])
def test_the_bound_is_small_whatever_the_scores_are(shape: str, num_parts: int) -> None:
    """By weight, bins are fine where scores are dense: half of the pairs of a bin in `most` are at most 1 / most of all."""
    drawn = np.random.default_rng(0)
    size, most = 80_000, 4096
    noise = drawn.normal(0, 1.5, size)
    score_B = {
        "clicks": 1 / (1 + np.exp(4 - noise)),
        "rare": 1e-7 * np.exp(noise),
        # Nine in ten lie within a percent of each other, the others over all powers of two.
        "narrow": np.where(
            drawn.random(size) < 0.9, 0.01 + 1e-4 * drawn.random(size), np.exp(9 * noise)
        ),
        "near one": 1 - 1e-2 * drawn.random(size),
    }[shape].astype(np.float32)
    is_yes_B = (drawn.random(size) < 0.02 + 0.1 * (noise > 1)).astype(float)
    weight_B = drawn.integers(1, 4, size).astype(float)
    exact = roc_auc_score(is_yes_B, score_B, sample_weight=weight_B)
    parts = np.array_split(np.arange(size), num_parts)
    whole: ScoreBins | None = None
    for part in parts:
        bins = ScoreBins.of(score_B[part].astype(float), is_yes_B[part] == 1, weight_B[part])
        whole = bins if whole is None else (whole + bins).coarsened(most)
    assert whole is not None
    found = whole.coarsened(most).auc()
    assert 0 < found.bound < 1 / most
    assert abs(found.value - exact) <= found.bound


def test_a_heavy_score_keeps_a_bin_of_its_own() -> None:
    """Half of all rows have one score, as where a model knows nothing: their pairs are ties, not unknown."""
    score_B = np.concatenate([np.full(1000, 0.25), np.linspace(0.1, 0.9, 1000)])
    is_yes_B = np.arange(2000) % 3 == 0
    bins = ScoreBins.of(score_B, is_yes_B, np.ones(2000)).coarsened(50)
    heavy = int(np.argmax(bins.positive_K + bins.negative_K))
    assert bins.positive_K[heavy] + bins.negative_K[heavy] == 1000 and bins.level_K[heavy] == 0
    found = bins.auc()
    assert found.bound < 0.01
    assert abs(found.value - roc_auc_score(is_yes_B, score_B)) <= found.bound


def test_the_bound_can_be_reached() -> None:
    """Two scores in one bin, all positives above: the half that is counted is wrong by one half."""
    bins = ScoreBins.of(np.array([0.5, 0.6, -1.0]), np.array([False, True, False]), np.ones(3))
    found = bins.coarsened(2).auc()
    assert found == (0.75, 0.25) and bins.auc() == (1.0, 0.0)
