"""The metrics of quantiles, against their formulas and against rows repeated."""

import numpy as np
import pytest
from numpy.typing import NDArray

from polytask.kinds import Quantile
from polytask.metrics import evaluate

LEVELS = (0.1, 0.6, 0.9)


def pinball(labels_B: NDArray[np.float64], quantiles_BO: NDArray[np.float64]) -> float:
    """The mean over rows and levels, row by row."""
    losses = [
        level * (label - quantile) if label > quantile else (1 - level) * (quantile - label)
        for label, quantiles in zip(labels_B, quantiles_BO)
        for level, quantile in zip(LEVELS, quantiles)
    ]
    return float(np.mean(losses))


def best_constants(labels_B: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each level: the label whose loss as a constant is the least."""

    def loss(constant: float, level: float) -> float:
        error_B = labels_B - constant
        return float(np.maximum(level * error_B, (level - 1) * error_B).mean())

    return np.array([min(labels_B, key=lambda label: loss(label, level)) for level in LEVELS])


@pytest.mark.parametrize("seed", range(3))
def test_they_are_their_formulas_and_a_weighted_row_is_so_many_rows(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels_B = random.exponential(size=60)
    quantiles_BO = np.sort(labels_B[:, None] + random.normal(size=(60, 3)), axis=1)
    weights_B = random.integers(1, 4, 60)
    index = np.repeat(np.arange(60), weights_B)
    kind = Quantile(levels=LEVELS)
    found = {}
    for name, rows in {"weighted": None, "repeated": index}.items():
        chosen = slice(None) if rows is None else rows
        weights = weights_B.astype(float) if rows is None else None
        scores = evaluate(kind, quantiles_BO[chosen], labels_B[chosen], weights=weights)
        found[name] = {metric.name: metric.value for metric in scores.metrics}
    labels, quantiles = labels_B[index], quantiles_BO[index]
    constant = pinball(labels, np.tile(best_constants(labels), (len(labels), 1)))
    inside = (labels >= quantiles[:, 0]) & (labels <= quantiles[:, 2])
    expected = {
        "pinball": pinball(labels, quantiles),
        "pinball_skill": 1 - pinball(labels, quantiles) / constant,
        "coverage": inside.mean() / 0.8,
    }
    for name, value in expected.items():
        assert found["repeated"][name] == pytest.approx(value, rel=1e-9), name
        assert found["weighted"][name] == pytest.approx(value, rel=1e-9), name
