"""Two regression tasks whose relatedness is chosen: the synthetic data of the MMoE paper."""

from dataclasses import dataclass

import numpy as np

from polytask.data.generate.draw import Draw, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Waves:
    """h(s) = s + sum_m sin(alpha_m s + beta_m), the same for both tasks; without waves, linear."""

    alpha_M: Floats
    beta_M: Floats

    def __call__(self, s_B: Floats) -> Floats:
        total_B = s_B.copy()
        for alpha, beta in zip(self.alpha_M, self.beta_M):
            total_B += np.sin(alpha * s_B + beta)
        return total_B


def draw_waves(num_waves: int = 10, *, seed: int = 0) -> Waves:
    """alpha, beta ~ N(0, 1), as in the PLE paper; the MMoE paper does not say."""
    if num_waves < 0:
        raise ValueError(f"num_waves must be at least 0, but {num_waves=}")
    draw = Draw.seeded((seed, 1))
    return Waves(draw.normal(num_waves), draw.normal(num_waves))


def correlated_tasks(
    num_rows: int,
    *,
    correlation: float,
    num_features: int = 100,
    num_waves: int = 10,
    scale: float = 1.0,
    noise_std: float = 0.1,
    seed: int = 0,
    waves: Waves | None = None,
) -> tuple[Floats, Floats]:
    """Ma et al., KDD 2018, section 3.2: inputs x (B, D) ~ N(0, I), labels y (B, 2).

    w_1 = scale u_1, w_2 = scale (p u_1 + sqrt(1 - p^2) u_2) for orthogonal unit vectors u, and
    y_k = h(w_k^T x) + noise, drawn for every row and task. p, the `correlation`, is the cosine of
    w_1 and w_2; the labels' own is `label_correlation`. `waves` replaces those that the seed
    would draw.

    The paper's noise is N(0, 0.01), read as a variance: `noise_std` is its root.
    """
    if num_rows < 1 or num_features < 2:
        raise ValueError(
            f"two directions need at least 2 features, and 1 row, but {num_rows=}, {num_features=}"
        )
    _check(correlation, scale, noise_std)
    waves = waves or draw_waves(num_waves, seed=seed)
    # A stream of their own: the rows do not depend on how many waves were drawn.
    draw = Draw.seeded((seed, 2))
    directions_D2, _ = np.linalg.qr(draw.normal(num_features, 2))
    p = correlation
    mixed_22 = np.array([[1.0, p], [0.0, np.sqrt(1 - p * p)]])
    x_BD = draw.normal(num_rows, num_features)
    s_B2 = x_BD @ (scale * directions_D2 @ mixed_22)
    return x_BD, waves(s_B2) + noise_std * draw.normal(num_rows, 2)


def label_correlation(
    waves: Waves, *, correlation: float, scale: float = 1.0, noise_std: float = 0.1
) -> float:
    """Pearson's correlation of the two labels, in closed form.

    (s_1, s_2) is Gaussian with variances c^2 and covariance p c^2 for c = `scale`, so that E[s_1
    sin(a s_2 + b)] and the products of sines are those of a Gaussian's characteristic function.
    """
    _check(correlation, scale, noise_std)
    covariance = _covariance(waves, correlation, scale)
    return float(covariance / (_covariance(waves, 1.0, scale) + noise_std**2))


def _covariance(waves: Waves, p: float, scale: float) -> float:
    a, b, variance = waves.alpha_M, waves.beta_M, scale**2
    linear = p * variance * (1 + 2 * np.sum(a * np.exp(-variance * a**2 / 2) * np.cos(b)))
    squares_MM, products_MM = np.add.outer(a**2, a**2), np.multiply.outer(a, a)
    minus_MM = np.exp(-variance / 2 * (squares_MM - 2 * p * products_MM))
    plus_MM = np.exp(-variance / 2 * (squares_MM + 2 * p * products_MM))
    mean_MM = np.exp(-variance / 2 * squares_MM) * np.multiply.outer(np.sin(b), np.sin(b))
    both_MM = minus_MM * np.cos(np.subtract.outer(b, b)) - plus_MM * np.cos(np.add.outer(b, b))
    return float(linear + np.sum(both_MM / 2 - mean_MM))


def _check(correlation: float, scale: float, noise_std: float) -> None:
    if not -1 <= correlation <= 1:
        raise ValueError(f"correlation must be between -1 and 1, but {correlation=}")
    if scale <= 0 or noise_std < 0:
        raise ValueError(
            f"scale must be positive and noise_std at least 0, but {scale=}, {noise_std=}"
        )
