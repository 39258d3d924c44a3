"""The small convex problems behind the gradient rules, each against a second way to solve it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from forked import Forked
from polytask.balancing import solvers

Array = NDArray[np.float64]


def points(num_tasks: int, rank: int, *, spread: float = 1e2, seed: int = 0) -> Array:
    generator = np.random.default_rng([num_tasks, rank, seed])
    lengths_T = spread ** (generator.random(num_tasks) - 0.5)
    rows_TR = generator.standard_normal((num_tasks, rank)) + 0.3
    return np.asarray(lengths_T[:, None] * rows_TR)


def units(num_tasks: int, rank: int, *, seed: int = 0) -> Array:
    rows_TR = points(num_tasks, rank, seed=seed)
    return np.asarray(rows_TR / np.linalg.norm(rows_TR, axis=1, keepdims=True))


@pytest.mark.parametrize(("num_tasks", "rank"), [(1, 1), (2, 5), (6, 3), (20, 20), (30, 1)])
def test_rows_of_gives_back_the_gram_matrix(num_tasks: int, rank: int) -> None:
    units_TR = units(num_tasks, rank)
    gram_TT = units_TR @ units_TR.T
    rows_TR = solvers.rows_of(gram_TT, tolerance=1e-13)
    assert rows_TR.shape == (num_tasks, min(num_tasks, rank))
    np.testing.assert_allclose(rows_TR @ rows_TR.T, gram_TT, atol=1e-13)


def test_rows_of_of_nothing_has_rank_zero() -> None:
    assert solvers.rows_of(np.zeros((3, 3)), tolerance=1e-14).shape == (3, 0)


@pytest.mark.parametrize(("num_tasks", "rank"), [(2, 5), (6, 3), (20, 20), (30, 1)])
def test_pseudo_solve_ones_is_the_pseudo_inverse(num_tasks: int, rank: int) -> None:
    units_TR = units(num_tasks, rank)
    gram_TT = units_TR @ units_TR.T
    rows_TR = solvers.rows_of(gram_TT, tolerance=1e-13)
    expected_T = np.linalg.pinv(gram_TT, rcond=1e-12, hermitian=True) @ np.ones(num_tasks)
    np.testing.assert_allclose(
        solvers.pseudo_solve_ones(gram_TT, rows_TR), expected_T, rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("total", [0.0, 0.3, 1.0, 50.0])
def test_project_on_simplex_by_its_optimality_conditions(total: float) -> None:
    for seed in range(20):
        point_T = np.random.default_rng(seed).normal(scale=3.0, size=1 + seed)
        projected_T = solvers.project_on_simplex(point_T, total=total)
        assert projected_T.min() >= 0.0
        assert projected_T.sum() == pytest.approx(total, abs=1e-12)
        shifts_T = point_T - projected_T
        # Where it is positive the projection subtracts the same shift, elsewhere no more.
        assert (shifts_T <= shifts_T.max() + 1e-12).all()
        if total > 0.0:
            positive = projected_T > 0.0
            np.testing.assert_allclose(shifts_T[positive], shifts_T.max(), atol=1e-12)


def test_nonnegative_least_squares_survives_a_cycling_active_set() -> None:
    """One iteration is too few for the first method, so that the second has to answer."""
    matrix_MN = points(8, 6)
    target_M = np.random.default_rng(0).standard_normal(8)
    first_N = solvers.nonnegative_least_squares(matrix_MN, target_M)
    second_N = solvers.nonnegative_least_squares(matrix_MN, target_M, max_iterations=1)
    assert (first_N > 0.0).sum() > 1
    assert second_N.min() >= 0.0
    np.testing.assert_allclose(second_N, first_N, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("spread", [1.0, 1e3, 1e8])
def test_min_norm_of_two_is_what_the_general_way_finds(spread: float) -> None:
    for seed in range(30):
        units_2R = units(2, 3, seed=seed)
        lengths_2 = spread ** np.random.default_rng(seed).random(2)
        three = [0, 1, 1]
        nearest_R = (solvers.min_norm_weights(units_2R, lengths_2) * lengths_2) @ units_2R
        weights_3 = solvers.min_norm_weights(units_2R[three], lengths_2[three])
        general_R = (weights_3 * lengths_2[three]) @ units_2R[three]
        np.testing.assert_allclose(nearest_R, general_R, atol=1e-12 * np.linalg.norm(nearest_R))


def test_min_norm_of_equal_and_of_zero_points() -> None:
    same_TR = np.array([[0.6, 0.8], [0.6, 0.8]])
    np.testing.assert_allclose(solvers.min_norm_weights(same_TR, np.ones(2)), [0.5, 0.5])
    units_TR, lengths_T = np.array([[1.0], [0.0], [0.0]]), np.array([1.0, 0.0, 0.0])
    np.testing.assert_array_equal(solvers.min_norm_weights(units_TR, lengths_T), [0.0, 0.5, 0.5])


@pytest.mark.parametrize(("num_tasks", "rank"), [(3, 3), (10, 10), (25, 40), (12, 5)])
def test_cone_multipliers_project_on_the_dual_cone(num_tasks: int, rank: int) -> None:
    """Many at once, by pivoting where the rank allows it, and one by one."""
    rows_TR = units(num_tasks, rank)
    cosines_TT = rows_TR @ rows_TR.T
    units_TR = solvers.rows_of(cosines_TT, tolerance=1e-14)
    coefficients_KT = np.random.default_rng(1).standard_normal((6, num_tasks))
    together_KT = solvers.cone_multipliers(
        cosines_TT, units_TR, coefficients_KT, tolerance=1e-14, ridge=1e-12
    )
    projections_KR = (coefficients_KT + together_KT) @ units_TR
    gains_KT = projections_KR @ units_TR.T
    assert together_KT.min() >= 0.0
    assert gains_KT.min() > -1e-11
    assert np.abs(gains_KT * together_KT).max() < 1e-10
    for coefficients_T, projection_R in zip(coefficients_KT, projections_KR, strict=True):
        alone_1T = solvers.cone_multipliers(
            cosines_TT, units_TR, coefficients_T[None], tolerance=1e-14, ridge=1e-12
        )
        np.testing.assert_allclose(
            (coefficients_T + alone_1T[0]) @ units_TR, projection_R, atol=1e-10
        )


def test_pivoting_gives_up_where_it_does_not_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    units_TR = solvers.rows_of(units(10, 10) @ units(10, 10).T, tolerance=1e-14)
    cosines_TT = units_TR @ units_TR.T
    settled_TT = solvers.cone_multipliers(
        cosines_TT, units_TR, np.eye(10), tolerance=1e-14, ridge=1e-12
    )
    monkeypatch.setattr(solvers, "_MAX_PIVOTING_STEPS", 1)
    one_by_one_TT = solvers.cone_multipliers(
        cosines_TT, units_TR, np.eye(10), tolerance=1e-14, ridge=1e-12
    )
    np.testing.assert_allclose(one_by_one_TT, settled_TT, atol=1e-12)
    assert not np.array_equal(one_by_one_TT, settled_TT)


def test_least_distance_is_the_shortest_that_satisfies_the_bounds() -> None:
    for seed in range(20):
        units_TR = units(6, 4, seed=seed)
        # Some y reaches all of these bounds.
        reached_T = units_TR @ np.random.default_rng(seed).standard_normal(4)
        bounds_T = reached_T - 0.1
        raw_T = solvers.least_distance_multipliers(units_TR, bounds_T)
        multipliers_T = raw_T / (1.0 - bounds_T @ raw_T)
        slack_T = units_TR @ (multipliers_T @ units_TR) - bounds_T
        assert slack_T.min() > -1e-11
        assert np.abs(slack_T * multipliers_T).max() < 1e-10


def test_scipy_waits_for_the_first_solve(forked_torch: Forked, tmp_path: Path) -> None:
    code = (
        "import sys, torch, polytask.balancing.gram as gram\n"
        "assert 'scipy' not in sys.modules\n"
        "gram.mgda(torch.eye(3))\n"
        "assert 'scipy.optimize' in sys.modules\n"
    )
    forked_torch.script(code, tmp_path).ended()
