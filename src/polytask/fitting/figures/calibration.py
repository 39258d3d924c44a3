"""Predictions and labels in bins: calibration and histograms. Pure functions of arrays."""

from collections.abc import Sequence

import numpy as np

from polytask.records import Bin, Histogram, Series
from polytask.records.figures import Scale
from polytask.records.scales import BACKWARD, FORWARD, Floats

HISTOGRAM_BINS = 40
_Z95 = 1.959964


def calibration_bins(
    scores_B: Floats, labels_B: Floats, weights_B: Floats, *, num_bins: int, rates: bool
) -> tuple[Bin, ...]:
    """Bins of about equally many rows, ascending; rows of one score are never parted."""
    inner = np.quantile(scores_B, np.linspace(0, 1, num_bins + 1)[1:-1])
    bin_B = np.searchsorted(np.unique(inner), scores_B, side="right")

    def total(values_B: Floats) -> Floats:
        return np.bincount(bin_B, weights=values_B, minlength=num_bins).astype(np.float64)

    weight = total(weights_B)
    kept = weight > 0
    weight = weight[kept]
    predicted = total(weights_B * scores_B)[kept] / weight
    observed = total(weights_B * labels_B)[kept] / weight
    squares = total(weights_B * labels_B**2)[kept] / weight
    # Unequal weights are worth fewer rows (Kish, Survey Sampling, 1965).
    worth = weight**2 / total(weights_B**2)[kept]
    if rates:
        low, high = _wilson(observed, worth)
    else:
        error = _Z95 * np.sqrt(np.maximum(squares - observed**2, 0) / worth)
        low, high = observed - error, observed + error
    rows = np.bincount(bin_B, minlength=num_bins)[kept]
    columns = (rows, predicted, observed, low, high)
    return tuple(Bin(*values) for values in zip(*(column.tolist() for column in columns)))


def histogram(groups: Sequence[tuple[str, Floats, Floats]], *, scale: Scale) -> Histogram:
    """(name, values, weights) -> cells of equal width on the scale, where 99.8 % of values are."""
    forward, backward = FORWARD[scale], BACKWARD[scale]
    spread = [forward(values_B) for _, values_B, _ in groups]
    everything = np.concatenate(spread)
    low, high = np.quantile(everything, (0.001, 0.999))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    series = []
    for (name, _, weights_B), values_B in zip(groups, spread):
        counts, _ = np.histogram(values_B.clip(low, high), edges, weights=weights_B)
        series.append(Series(name, tuple(counts.tolist())))
    return Histogram(tuple(backward(edges).tolist()), tuple(series))


def _wilson(rate: Floats, worth: Floats) -> tuple[Floats, Floats]:
    """Wilson (JASA 1927): the interval of a rate that stays within 0 and 1."""
    shrink = 1 + _Z95**2 / worth
    centre = (rate + _Z95**2 / (2 * worth)) / shrink
    half = _Z95 / shrink * np.sqrt(rate * (1 - rate) / worth + (_Z95 / (2 * worth)) ** 2)
    return np.maximum(centre - half, 0), np.minimum(centre + half, 1)
