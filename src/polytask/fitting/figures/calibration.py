"""Predictions and labels in bins: calibration and histograms. Pure functions of arrays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scale = Literal["logit", "linear", "log1p"]
Floats = NDArray[np.float64]

HISTOGRAM_BINS = 40
_Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of neighbouring predictions: their mean, and the labels' mean with its 95 % interval.

    The interval takes rows as independent: Wilson's for rates, the normal one for quantities.
    """

    rows: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Series:
    """Weighted rows in each cell of a histogram."""

    name: str
    counts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """One series a class of rows, over the same edges; rows beyond them are in the end cells."""

    edges: tuple[float, ...]
    series: tuple[Series, ...]


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
    forward, backward = _SCALES[scale]
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


def _logit(rate: Floats) -> Floats:
    logit: Floats = np.log(rate) - np.log1p(-rate)
    return logit


def _rate(logit: Floats) -> Floats:
    rate: Floats = 1 / (1 + np.exp(-logit))
    return rate


def _same(values: Floats) -> Floats:
    return values


def _log1p(values: Floats) -> Floats:
    logarithm: Floats = np.log1p(np.maximum(values, 0))
    return logarithm


def _expm1(values: Floats) -> Floats:
    power: Floats = np.expm1(values)
    return power


_Map = Callable[[Floats], Floats]
_SCALES: Mapping[Scale, tuple[_Map, _Map]] = {
    "logit": (_logit, _rate),
    "linear": (_same, _same),
    "log1p": (_log1p, _expm1),
}
