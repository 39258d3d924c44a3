"""What trials choose from, and what becomes of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polytask.config import validate_config
from polytask.config.study import SearchConfig
from polytask.study.search import (
    network_space,
    options_of,
    rate_grid,
    scaled_trunk,
    tree_space,
    weight_points,
    weights_from,
    weights_in_words,
)
from polytask.trunks import TRUNKS


@pytest.mark.parametrize("trials", [1, 9, 15])
def test_two_tasks_have_a_grid_of_nine_points_or_more(trials: int) -> None:
    points = np.array(weight_points(2, trials=trials, seed=0))
    assert len(points) == max(9, trials)
    assert np.allclose(points.sum(axis=1), 2)
    if trials <= 9:
        assert np.allclose(points[:, 0] / 2, np.arange(1, 10) / 10)


@given(st.integers(3, 8), st.integers(1, 40), st.integers(0, 3))
def test_more_tasks_have_ten_points_or_more_on_the_simplex(
    tasks: int, trials: int, seed: int
) -> None:
    points = np.array(weight_points(tasks, trials=trials, seed=seed))
    assert points.shape == (max(10, trials), tasks)
    assert np.allclose(points.sum(axis=1), tasks, atol=1e-4)
    assert (points >= 0).all()
    assert len(np.unique(points, axis=0)) == len(points)
    assert np.array_equal(points, weight_points(tasks, trials=trials, seed=seed))


def test_the_points_of_many_tasks_are_uniform_on_the_simplex() -> None:
    points = np.array(weight_points(4, trials=256, seed=0)) / 4
    # Dirichlet(1, 1, 1, 1): mean 1/4, variance 3/80.
    assert np.allclose(points.mean(axis=0), 0.25, atol=0.01)
    assert np.allclose(points.var(axis=0), 3 / 80, atol=0.006)


def test_weights_as_text_are_the_weights() -> None:
    weights = weight_points(3, trials=10, seed=1)[3]
    assert weights_from({"weights": weights_in_words(weights)}) == pytest.approx(weights, rel=1e-4)


def test_rates_are_even_in_the_logarithm() -> None:
    rates = rate_grid(3e-4, 3e-2, per_decade=12)
    assert len(rates) == 25 and rates[0] == 3e-4 and rates[-1] == 3e-2
    assert np.allclose(np.diff(np.log10(rates)), 1 / 12, atol=1e-5)
    assert rate_grid(1e-3, 1e-3, per_decade=12) == (1e-3,)


@pytest.mark.parametrize("name", TRUNKS)
def test_every_trunk_is_built_at_half_and_at_twice_its_width(name: str) -> None:
    sizes = []
    for width in (0.5, 1.0, 2.0):
        options = scaled_trunk(name, width)
        options = {"name": options} if isinstance(options, str) else dict(options)
        trunk = TRUNKS[str(options.pop("name"))](16, 2, **options)
        sizes.append(sum(parameter.numel() for parameter in trunk.parameters()))
    assert sizes[0] < sizes[1] < sizes[2]


def test_the_first_trial_takes_the_fit_s_own_options() -> None:
    fit = validate_config({"learning_rate": 1e-2, "dropout": 0.1, "hidden": [20, 10]})
    space = network_space(SearchConfig(), fit)
    assert space.defaults["learning_rate"] == pytest.approx(1e-2, rel=0.1)
    assert space.defaults["dropout"] == 0.1
    own = options_of(fit, "shared_bottom", "equal", {**space.defaults, "width": 2.0})
    assert own.trunk == {"name": "shared_bottom", "hidden": [40, 20]} and own.hidden is None
    assert own.learning_rate == space.defaults["learning_rate"]


def test_static_weights_become_the_rule() -> None:
    own = options_of(validate_config({}), "mmoe", "static", {"weights": "0.5, 1.5"})
    assert own.balancer == {"name": "static", "weights": [0.5, 1.5]}


def test_trees_have_a_first_trial_too() -> None:
    assert set(tree_space().defaults) == {"learning_rate", "leaves", "rows_a_leaf", "l2"}
