"""The MMoE paper's tasks: the labels' correlation in closed form, and that the data have it."""

import json
from pathlib import Path

import numpy as np
import pytest

from polytask.data.generate import Waves, correlated_tasks, draw_waves, label_correlation


@pytest.fixture(scope="module")
def golden(goldens_folder: Path) -> dict:
    return json.loads((goldens_folder / "mmoe_synthetic.json").read_text())


@pytest.fixture(scope="module")
def waves(golden: dict) -> Waves:
    return Waves(np.array(golden["alpha"]), np.array(golden["beta"]))


def test_the_closed_form_equals_the_golden_values(golden: dict, waves: Waves) -> None:
    straight = draw_waves(0)
    for case in golden["cases"]:
        ours = label_correlation(waves, correlation=case["p"])
        assert ours == pytest.approx(case["pearson_closed_form"], abs=1e-12)
        linear = label_correlation(straight, correlation=case["p"])
        assert linear == pytest.approx(case["linear_case"], abs=1e-12)


@pytest.mark.parametrize("correlation", [-1.0, -0.5, 0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_the_labels_have_that_correlation(waves: Waves, correlation: float, scale: float) -> None:
    num_rows = 100_000
    _, y_B2 = correlated_tasks(
        num_rows, correlation=correlation, num_features=3, scale=scale, waves=waves, seed=5
    )
    expected = label_correlation(waves, correlation=correlation, scale=scale)
    measured = np.corrcoef(y_B2.T)[0, 1]
    # Five standard errors, as they are for Gaussian labels, and a little at the ends.
    assert abs(measured - expected) < 5 * (1 - expected**2) / np.sqrt(num_rows) + 1e-3


def test_the_correlation_is_the_cosine_of_the_two_directions() -> None:
    x_BD, y_B2 = correlated_tasks(
        50, correlation=0.6, num_features=8, num_waves=0, scale=2.0, noise_std=0.0
    )
    weights_D2, *_ = np.linalg.lstsq(x_BD, y_B2)
    lengths = np.linalg.norm(weights_D2, axis=0)
    np.testing.assert_allclose(lengths, [2.0, 2.0], rtol=1e-10)
    assert weights_D2[:, 0] @ weights_D2[:, 1] / lengths.prod() == pytest.approx(0.6)


def test_at_correlation_one_only_the_noise_differs() -> None:
    """The waves are the same for both tasks, the noise is drawn for every row and task."""
    _, y_B2 = correlated_tasks(20_000, correlation=1.0, num_features=4, noise_std=0.1)
    difference_B = y_B2[:, 0] - y_B2[:, 1]
    assert difference_B.std() == pytest.approx(0.1 * np.sqrt(2), rel=0.03)
    assert len(np.unique(difference_B)) == 20_000
    _, same_B2 = correlated_tasks(100, correlation=1.0, noise_std=0.0)
    np.testing.assert_allclose(same_B2[:, 0], same_B2[:, 1], atol=1e-9)


def test_inputs_are_standard_normal_and_shapes_are_as_asked() -> None:
    x_BD, y_B2 = correlated_tasks(5000, correlation=0.5)
    assert x_BD.shape == (5000, 100)
    assert y_B2.shape == (5000, 2)
    assert x_BD.mean() == pytest.approx(0.0, abs=0.01)
    assert x_BD.std() == pytest.approx(1.0, abs=0.01)


def test_a_seed_repeats_and_another_differs() -> None:
    first, again, other = (correlated_tasks(20, correlation=0.5, seed=s) for s in (1, 1, 2))
    for ours, same, different in zip(first, again, other):
        np.testing.assert_array_equal(ours, same)
        assert np.abs(ours - different).min() > 0
    assert draw_waves(seed=1).alpha_M[0] != draw_waves(seed=2).alpha_M[0]


def test_the_waves_of_a_seed_are_those_that_are_drawn() -> None:
    _, drawn_B2 = correlated_tasks(20, correlation=0.5, seed=4)
    _, given_B2 = correlated_tasks(20, correlation=0.5, seed=4, waves=draw_waves(10, seed=4))
    np.testing.assert_array_equal(drawn_B2, given_B2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"correlation": 1.1}, "between -1 and 1"),
        ({"correlation": float("nan")}, "between -1 and 1"),
        ({"correlation": 0.5, "scale": 0.0}, "scale must be positive"),
        ({"correlation": 0.5, "noise_std": -0.1}, "noise_std at least 0"),
        ({"correlation": 0.5, "num_features": 1}, "at least 2 features"),
        ({"correlation": 0.5, "num_waves": -1}, "num_waves must be at least 0"),
    ],
)
def test_what_makes_no_data_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        correlated_tasks(10, **options)
    if "correlation" in options and "between" in message:
        with pytest.raises(ValueError, match=message):
            label_correlation(draw_waves(), **options)
