"""The few small convex problems behind the gradient rules, solved exactly in float64.

All take the gradients' lengths apart from their directions, so that a spread of the lengths costs
no accuracy. SciPy is imported at the first solve: it would add half a second to the import of
this room, which the many runs that solve nothing need not pay.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_MAX_PIVOTING_STEPS = 8
_CLEARLY_REGULAR = 1e-3
"""Cholesky factors of a cosine matrix with no smaller diagonal entry need no pivoting."""
_PROXIMAL_STEPS = 3


def rows_of(cosines_TT: Array, *, tolerance: float) -> Array:
    """Rows (T, R) whose inner products are the cosines, R their rank (LAPACK).

    The Cholesky factor; where that is nearly singular, the eigenvectors whose eigenvalues are above
    `tolerance`: unlike pivots, these do not depend on the order of the tasks.
    """
    from scipy.linalg import lapack

    if not cosines_TT.any():
        return np.zeros((len(cosines_TT), 0))
    factor_TT: Array
    factor_TT, info = lapack.dpotrf(cosines_TT, lower=1, clean=1)
    if info == 0 and factor_TT.diagonal().min() >= max(_CLEARLY_REGULAR, tolerance**0.5):
        return factor_TT
    values_T, vectors_TT = np.linalg.eigh(cosines_TT)
    is_kept_T = values_T > tolerance
    rows_TR: Array = vectors_TT[:, is_kept_T] * np.sqrt(values_T[is_kept_T])
    return rows_TR


def solve_definite(matrix_TT: Array, sides_TK: Array) -> Array | None:
    """M^-1 b for a positive definite M (LAPACK posv); None if it is none."""
    from scipy.linalg import lapack

    solution_TK: Array
    _, solution_TK, info = lapack.dposv(matrix_TT, sides_TK)
    return solution_TK if info == 0 else None


def pseudo_solve_ones(cosines_TT: Array, rows_TR: Array) -> Array:
    """C^+ 1, where `rows_TR` are rows of full column rank with the inner products C."""
    ones_T = np.ones(len(cosines_TT))
    if rows_TR.shape[1] == len(cosines_TT):
        solution_T = solve_definite(cosines_TT, ones_T)
        if solution_T is not None:
            return solution_T
    direction_R = np.linalg.lstsq(rows_TR, ones_T, rcond=None)[0]
    least_T: Array = np.linalg.lstsq(rows_TR.T, direction_R, rcond=None)[0]
    return least_T


def project_on_simplex(point_T: Array, *, total: float) -> Array:
    """The nearest point with w >= 0, sum w = `total` (Held, Wolfe and Crowder, Math. Prog. 1974).

    https://doi.org/10.1007/BF01580223
    """
    descending_T = np.sort(point_T)[::-1]
    shifts_T = (np.cumsum(descending_T) - total) / np.arange(1, len(point_T) + 1)
    # The running shifts rise as long as the next entry stays positive, then fall.
    projected_T: Array = np.maximum(point_T - shifts_T.max(), 0.0)
    return projected_T


def nonnegative_least_squares(
    matrix_MN: Array, target_M: Array, *, max_iterations: int | None = None
) -> Array:
    """argmin |A x - b| over x >= 0 (Lawson and Hanson, Solving Least Squares Problems, ch. 23)."""
    from scipy import optimize

    num_columns = matrix_MN.shape[1]
    if len(matrix_MN) == 0:
        return np.zeros(num_columns)
    try:
        solution_N: Array
        solution_N, _ = optimize.nnls(
            matrix_MN, target_M, maxiter=max_iterations or 30 * num_columns
        )
    except RuntimeError:
        # Rounding can make the active set cycle; this second method stops by itself.
        bounded = optimize.lsq_linear(matrix_MN, target_M, (0.0, np.inf), method="bvls")
        solution_N = np.maximum(bounded.x, 0.0)
    return solution_N


def min_norm_weights(units_TR: Array, lengths_T: Array) -> Array:
    """argmin |sum_i w_i n_i u_i| over the simplex: the point of the hull nearest to zero.

    T = 2 in closed form. Otherwise the shortest y with n_i u_i.y >= 1 for all i, each constraint
    divided by n_i, as a non-negative least-squares problem (Lawson and Hanson, ch. 23, LDP).
    If points are zero the weight is spread evenly over them.
    """
    shortest = lengths_T.min()
    if shortest == 0.0:
        is_zero_T = (lengths_T == 0.0).astype(np.float64)
        return np.asarray(is_zero_T / is_zero_T.sum())
    nearness_T = shortest / lengths_T
    if len(lengths_T) == 2:
        raw_T = _min_norm_of_two(float(units_TR[0] @ units_TR[1]), nearness_T)
    else:
        raw_T = least_distance_multipliers(units_TR, nearness_T) * nearness_T
    return np.asarray(raw_T / raw_T.sum())


def _min_norm_of_two(cosine: float, nearness_2: Array) -> Array:
    """Weights up to a factor, each as exact as its own size; equal ones if the points are equal."""
    first, second = nearness_2
    shares_2 = np.maximum(np.array([first - second * cosine, second - first * cosine]), 0.0)
    # Divided by the length of the other point, so that neither product can underflow.
    return np.asarray(shares_2 * nearness_2) if shares_2.any() else np.ones(2)


def least_distance_multipliers(units_TR: Array, bounds_T: Array) -> Array:
    """Multipliers, up to a factor, of min |y| with u_i.y >= b_i (Lawson and Hanson, ch. 23, LDP).

    They are x with y = U^T x / (1 - b.x).
    """
    num_tasks, rank = units_TR.shape
    matrix_ST = np.empty((rank + 1, num_tasks))
    matrix_ST[:-1], matrix_ST[-1] = units_TR.T, bounds_T
    target_S = np.zeros(rank + 1)
    target_S[-1] = 1.0
    return nonnegative_least_squares(matrix_ST, target_S)


def cone_multipliers(
    cosines_TT: Array, units_TR: Array, coefficients_KT: Array, *, tolerance: float, ridge: float
) -> Array:
    """x (K, T): argmin |(a_k + x_k) U| over x_k >= 0, for each row a_k of the coefficients.

    (a_k + x_k) U is then the projection of a_k U on the dual cone {d: U d >= 0}. Where directions
    are dependent many x serve, and the cone can be so thin that rounding opens or closes it: there
    the shortest x is taken, the limit of a vanishing penalty `ridge` on |x|^2.
    """
    offsets_KT = coefficients_KT @ cosines_TT
    targets_KR = -(coefficients_KT @ units_TR)
    if units_TR.shape[1] == len(units_TR):
        if len(coefficients_KT) > 1:
            found_KT = _pivot_all(cosines_TT, offsets_KT, tolerance=tolerance)
            if found_KT is not None:
                return found_KT
        return np.stack([nonnegative_least_squares(units_TR.T, t_R) for t_R in targets_KR])
    # Proximal steps x <- argmin |(a + x) U|^2 + ridge |x - last x|^2 over x >= 0, from x = 0. Each is
    # strictly convex, so its solution is unique and moves little when the directions do. Along a
    # singular vector of U the square of whose value is far above the ridge two steps are enough; far
    # below it, where U is rounding, x hardly moves.
    identity_TT = np.eye(len(units_TR))
    ridged_TT = cosines_TT + ridge * identity_TT
    rows_ST = np.vstack([units_TR.T, np.sqrt(ridge) * identity_TT])
    x_KT = np.zeros_like(coefficients_KT)
    for _ in range(_PROXIMAL_STEPS):
        start_KT = x_KT > 0.0 if x_KT.any() else None
        found_KT = _pivot_all(
            ridged_TT, offsets_KT - ridge * x_KT, tolerance=tolerance, start_KT=start_KT
        )
        if found_KT is None:
            targets_KS = np.hstack([targets_KR, np.sqrt(ridge) * x_KT])
            found_KT = np.stack([nonnegative_least_squares(rows_ST, t_S) for t_S in targets_KS])
        x_KT = found_KT
    return x_KT


def _pivot_all(
    matrix_TT: Array,
    offsets_KT: Array,
    *,
    tolerance: float,
    start_KT: NDArray[np.bool_] | None = None,
) -> Array | None:
    """x >= 0, y = M x + q >= 0, x.y = 0 for K offsets q at once; None if that did not settle.

    https://doi.org/10.1090/S0025-5718-1994-1250776-4

    Block principal pivoting (Portugal, Judice and Vicente, Math. Comp. 1994): every index that
    breaks its sign changes sides. It has no guarantee, but what it returns is checked.
    """
    is_free_KT = offsets_KT < 0.0 if start_KT is None else start_KT
    identity_TT = np.eye(len(matrix_TT))
    for _ in range(_MAX_PIVOTING_STEPS):
        both_KTT = is_free_KT[:, :, None] & is_free_KT[:, None, :]
        systems_KTT = np.where(both_KTT, matrix_TT, identity_TT)
        sides_KT1 = np.where(is_free_KT, -offsets_KT, 0.0)[:, :, None]
        x_KT: Array = np.linalg.solve(systems_KTT, sides_KT1)[:, :, 0]
        slack_KT = x_KT @ matrix_TT + offsets_KT
        next_free_KT = np.where(is_free_KT, x_KT > 0.0, slack_KT < -tolerance)
        if (next_free_KT == is_free_KT).all():
            return x_KT
        is_free_KT = next_free_KT
    return None
