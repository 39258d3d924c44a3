"""One numeric input column: fitted on the training rows, and standardised."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import ndtri

from polytask.columns.numbers import finite_numbers
from polytask.columns.values import type_name
from polytask.errors import UserError

NumericEncoding = Literal["standard", "quantile", "piecewise"]

_NUM_QUANTILES = 256
"""Points of the distribution function that "quantile" keeps."""

_MOST_ROWS = 1_000_000
"""Quantiles of more rows than this are taken of a random million of them."""


@dataclass(frozen=True, slots=True)
class NumericColumn:
    """One numeric input: its scale, and what its encoding needs besides.

    `quantiles` (of "quantile") are in the column's unit, equally spaced in probability.
    `edges` (of "piecewise") are bin edges in standardised units, rising and different in float32.
    """

    name: str
    dtype: str
    mean: float
    std: float
    quantiles: tuple[float, ...]
    edges: tuple[float, ...]
    has_missing: bool

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mean) and 0 < self.std < np.inf):
            raise UserError(
                f"column {self.name!r} has mean {self.mean:g} and deviation {self.std:g}: "
                "its values are too large to standardise; use their logarithm (--derive)"
            )

    def encode(self, column: pa.ChunkedArray) -> NDArray[np.float64]:
        """Standardised values, or normal scores by the training quantiles; NaN where missing."""
        values_B = finite_numbers(column, f"column {self.name!r}")
        if self.quantiles:
            return _normal_scores(values_B, np.array(self.quantiles))
        with np.errstate(over="ignore"):
            scaled_B = (values_B - self.mean) / self.std
        limit = float(np.finfo(np.float32).max)
        return scaled_B.clip(-limit, limit, out=scaled_B)


def fit_numeric(
    name: str, column: pa.ChunkedArray, *, encoding: NumericEncoding, num_bins: int
) -> NumericColumn:
    """The scale of one column's training rows; its quantiles or edges where `encoding` needs them."""
    values_B = finite_numbers(column, f"column {name!r}")
    missing_B = np.isnan(values_B)
    has_missing = bool(missing_B.any())
    present = values_B[~missing_B] if has_missing else values_B
    mean, std = _moments(present)
    quantiles: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    if len(present) and encoding == "quantile":
        levels = np.linspace(0, 1, _NUM_QUANTILES)
        quantiles = tuple(np.quantile(_sample(present), levels).tolist())
    if len(present) and encoding == "piecewise":
        edges = _edges((_sample(present) - mean) / std, num_bins)
    return NumericColumn(name, type_name(column.type), mean, std, quantiles, edges, has_missing)


def _moments(present: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation; a column without spread is only shifted."""
    if len(present) == 0:
        return 0.0, 1.0
    low, high = float(present.min()), float(present.max())
    if low == high:
        return low, 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        std = float(present.std())
        return float(present.mean()), std if std > 0 else 1.0


def _sample(present: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(present) <= _MOST_ROWS:
        return present
    return np.random.default_rng(0).choice(present, _MOST_ROWS, replace=False)


def _edges(values: NDArray[np.float64], num_bins: int) -> tuple[float, ...]:
    """At most `num_bins` bins at quantiles of the values, rising, different in float32.

    Source: Gorishniy et al., NeurIPS 2022 (On embeddings for numerical features), section 3.2.
    DIFF: a value that fills a bin by itself is an edge of its own, and the quantiles are those of
    the other values: where 96 % of the rows are 0, plain quantiles leave a single bin.
    """
    different, counts = np.unique(values, return_counts=True)
    frequent = different[counts * num_bins > len(values)]
    rest = values[~np.isin(values, frequent)]
    edges = frequent
    num_left = num_bins + 1 - len(frequent)
    if len(rest) and num_left > 1:
        edges = np.concatenate([frequent, np.quantile(rest, np.linspace(0, 1, num_left))])
    elif len(rest):
        edges = np.concatenate([frequent, [different[0], different[-1]]])
    rising = np.unique(edges.astype(np.float32))
    return tuple(rising.tolist()) if len(rising) > 1 else ()


def _normal_scores(
    values_B: NDArray[np.float64], quantiles: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Normal scores of the values' training ranks; ties get the middle of their ranks.

    Ranks stop half a step short of 0 and 1, where normal scores are infinite.
    """
    levels = np.linspace(0, 1, len(quantiles))
    upper_B = np.interp(values_B, quantiles, levels)
    lower_B = 1 - np.interp(-values_B, -quantiles[::-1], levels)
    step = 0.5 / len(quantiles)
    scores: NDArray[np.float64] = ndtri(((upper_B + lower_B) / 2).clip(step, 1 - step))
    return scores
