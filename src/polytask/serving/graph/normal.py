"""Normal scores of training ranks in a graph."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polytask.serving.graph.values import Value, places_in


def normal_scores(values_B: Value, quantiles_V: NDArray[np.float64]) -> Value:
    """`Numbers`' scores by the same formula: ties get the middle of their ranks; NaN where missing."""
    size = len(quantiles_V)
    known_B = values_B.where(~values_B.isnan(), 0.0)
    below_B, upto_B = (places_in(known_B, quantiles_V, right=right) for right in (False, True))
    left_B = (upto_B - 1).within(0, size - 2)
    low_B = left_B.entries_of(quantiles_V, "float64")
    width_V = np.diff(quantiles_V)
    width_B = left_B.entries_of(np.where(width_V > 0, width_V, 1.0), "float64")
    between_B = ((known_B - low_B) / width_B).within(0.0, 1.0) + left_B.cast("float64")
    is_tie_B = below_B < upto_B
    ranks_B = (upto_B - 1 + below_B).cast("float64").where(is_tie_B, between_B * 2.0)
    step = 0.5 / size
    share_B = (ranks_B / (2.0 * (size - 1))).within(step, 1 - step)
    return inverse_normal(share_B).where(~values_B.isnan(), float("nan"))


def inverse_normal(share: Value) -> Value:
    """The standard normal's quantile function in float64, to a few units of its last place.

    Source: Wichura, Applied Statistics 1988, algorithm AS 241 (PPND16).
    """
    centred = share - 0.5
    middle = centred * _ratio(-(centred * centred) + 0.180625, _MIDDLE)
    tail_share = share.where(centred < 0.0, -share + 1.0)
    # The outermost share of Numbers is 1 / 512, where this is 2.5: the formula for 5 and more is not needed.
    far = (-tail_share.of("Log")).of("Sqrt")
    tail = _ratio(far - 1.6, _TAIL)
    signed = (-tail).where(centred < 0.0, tail)
    return middle.where(centred.of("Abs") <= 0.425, signed)


_Coefficients = tuple[Sequence[float], Sequence[float]]
_MIDDLE: _Coefficients = (
    (
        *(3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3),
        *(1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4),
        *(3.3430575583588128105e4, 2.5090809287301226727e3),
    ),
    (
        *(1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3),
        *(2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4),
        5.2264952788528545610e3,
    ),
)
_TAIL: _Coefficients = (
    (
        *(1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0),
        *(3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1),
        *(2.27238449892691845833e-2, 7.74545014278341407640e-4),
    ),
    (
        *(1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.8976733498510000455e-1),
        *(1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4),
        1.05075007164441684324e-9,
    ),
)


def _ratio(x: Value, coefficients: _Coefficients) -> Value:
    numerator, denominator = (_polynomial(x, each) for each in coefficients)
    return numerator / denominator


def _polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    *rest, last = coefficients
    value = x * last + rest.pop()
    while rest:
        value = value * x + rest.pop()
    return value
