"""What a report draws of a task: which numbers, and on which scale."""

import numpy as np
import pytest

from polytask.kinds import Count, Quantile, Regression


@pytest.mark.parametrize("transform", [None, "log1p"])
def test_labels_learnt_on_a_logarithm_are_drawn_on_one(transform: str | None) -> None:
    """Others on a line; counts always on a logarithm."""
    scale = "linear" if transform is None else "log1p"
    labels = np.array([1.0, 2.0])
    assert Regression(transform=transform).chart(labels, labels).scale == scale
    assert Quantile(transform=transform).chart(np.ones((2, 3)), labels).scale == scale
    assert Count().chart(labels, labels).scale == "log1p"


@pytest.mark.parametrize(("levels", "place"), [((0.1, 0.5, 0.9), 1), ((0.2, 0.6), 1), ((0.3,), 0)])
def test_of_several_quantiles_the_middle_one_is_drawn(
    levels: tuple[float, ...], place: int
) -> None:
    """It is the one nearest to the median, and its title says which it is."""
    quantiles = np.arange(4 * len(levels), dtype=float).reshape(4, len(levels))
    chart = Quantile(levels=levels).chart(quantiles, np.zeros(4))
    assert chart.scores_B.tolist() == quantiles[:, place].tolist()
    assert chart.title == f"quantile {levels[place]:g}"
