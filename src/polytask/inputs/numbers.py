"""Numbers: standardised by the training rows, and read in bins."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from polytask.columns.numbers import finite_numbers
from polytask.columns.values import type_name
from polytask.errors import UserError
from polytask.inputs.input import Feature, Input, require_one_each
from polytask.inputs.number_bins import NumericBins

NumericEncoding = Literal["standard", "quantile", "piecewise"]

_NUM_QUANTILES = 256
"""Points of the distribution function that "quantile" keeps."""

_ROWS_A_BIN = 50
_MOST_BINS = 16
"""Bins of few rows are learned by heart."""
_LARGEST_NUM_BINS = 10_000

_MOST_ROWS = 1_000_000
"""Quantiles of more rows than this are taken of a random million of them."""


@dataclass(frozen=True, slots=True)
class NumericScale:
    """What is known of one numeric column.

    `quantiles` (of "quantile") are in the column's unit, equally spaced in probability.
    `edges` (of "piecewise") are bin edges in standardised units, rising and different in float32.
    """

    dtype: str
    mean: float
    std: float
    quantiles: tuple[float, ...]
    edges: tuple[float, ...]
    has_missing: bool

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mean) and 0 < self.std < np.inf):
            raise UserError(
                f"a mean of {self.mean:g} and a deviation of {self.std:g}: "
                "the values are too large to standardise; use their logarithm (--derive)"
            )
        edges = np.array(self.edges, dtype=np.float32)
        if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
            raise UserError("the edges of its bins do not ascend")
        quantiles = np.array(self.quantiles)
        if not (np.isfinite(quantiles).all() and (np.diff(quantiles) >= 0).all()):
            raise UserError("its quantiles do not ascend")

    @classmethod
    def fit(
        cls, column: pa.ChunkedArray, what: str, *, encoding: NumericEncoding, num_bins: int
    ) -> Self:
        """The scale of one column's training rows; quantiles or edges where `encoding` needs them."""
        values_B = finite_numbers(column, what)
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
        try:
            return cls(type_name(column.type), mean, std, quantiles, edges, has_missing)
        except UserError as error:
            raise UserError(f"{what} has {error.message}") from error

    def encode(self, column: pa.ChunkedArray, what: str) -> NDArray[np.float64]:
        """Standardised values, or normal scores by the training quantiles; NaN where missing."""
        values_B = finite_numbers(column, what)
        if self.quantiles:
            return _normal_scores(values_B, np.array(self.quantiles))
        with np.errstate(over="ignore"):
            scaled_B = (values_B - self.mean) / self.std
        limit = float(np.finfo(np.float32).max)
        return scaled_B.clip(-limit, limit, out=scaled_B)

    def edges_in_words(self) -> list[str]:
        """The edges in the column's unit, in as many digits as their float32 holds."""
        num_digits = 5 - math.floor(math.log10(self.std))
        edges = (round(edge * self.std + self.mean, num_digits) + 0.0 for edge in self.edges)
        return [f"{edge:.15g}" for edge in edges]


@dataclass(frozen=True)
class Numbers(Input):
    """N numeric columns, each with a scale and, where it is read in bins, their edges.

    >>> table = pa.table({"age": [20.0, 40.0, None]})
    >>> ages = Numbers.fit(table, ["age"], numeric_encoding="standard")
    >>> ages.encode(table).tolist()
    [[-1.0], [1.0], [nan]]
    >>> ages.module()(ages.encode(table)).tolist()
    [[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    """

    by_column: ClassVar[str] = "scales"
    scales: tuple[NumericScale, ...]

    def __post_init__(self) -> None:
        require_one_each(self.columns, self.scales, "scales")

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        columns: Sequence[str],
        *,
        numeric_encoding: NumericEncoding = "piecewise",
        num_bins: int | None = None,
    ) -> Self:
        """`num_bins` of None is one a 50 rows, from 2 to 16.

        UserErrors: text or infinities among numbers, numbers too large to standardise.
        """
        if num_bins is None:
            num_bins = min(max(table.num_rows // _ROWS_A_BIN, 2), _MOST_BINS)
        if not 1 <= num_bins <= _LARGEST_NUM_BINS:
            raise UserError(f"{num_bins=} must be from 1 to {_LARGEST_NUM_BINS:,}")
        scales = (
            NumericScale.fit(
                table[name], f"column {name!r}", encoding=numeric_encoding, num_bins=num_bins
            )
            for name in columns
        )
        return cls(tuple(columns), tuple(scales))

    def encode(self, table: pa.Table) -> Tensor:
        """(B, N), float32, NaN where missing.

        Standardised in float64 ("quantile": normal scores of the training ranks) and then rounded;
        "piecewise" leaves the bins to the module.
        """
        numeric_BN = np.empty((table.num_rows, len(self.columns)), dtype=np.float32)
        for n, (name, scale) in enumerate(zip(self.columns, self.scales)):
            numeric_BN[:, n] = scale.encode(table[name], f"column {name!r}")
        return torch.from_numpy(numeric_BN)

    def module(self) -> "NumericBins":
        return NumericBins(
            [scale.edges for scale in self.scales], [scale.has_missing for scale in self.scales]
        )

    def features(self) -> list[Feature]:
        """Values, bins in the column's own unit, and flags of missing values."""
        named = list(zip(self.columns, self.scales))
        plain = [Feature(name, "value") for name, scale in named if len(scale.edges) < 2]
        soft = [Feature(name, "clipped value") for name, scale in named if len(scale.edges) > 1]
        bins = [
            Feature(name, f"bin {low} to {high}")
            for name, scale in named
            for low, high in itertools.pairwise(scale.edges_in_words())
        ]
        missing = [Feature(name, "is missing") for name, scale in named if scale.has_missing]
        return [*plain, *soft, *bins, *missing]


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
