"""Random numbers that stay the same for a seed, whatever the version of numpy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Draw:
    """Random numbers from uniform ones alone, whose stream numpy promises never to change."""

    generator: np.random.Generator

    @classmethod
    def seeded(cls, seed: int | Sequence[int]) -> Self:
        """A stream for the seed; several numbers name a stream among those of one seed."""
        return cls(np.random.Generator(np.random.PCG64(seed)))

    def uniform(self, *shape: int) -> Floats:
        """In (0, 1), both ends excluded."""
        return np.maximum(self.generator.random(shape), 2.0**-60)

    def normal(self, *shape: int) -> Floats:
        values: Floats = ndtri(self.uniform(*shape))
        return values

    def choice(self, weights: Floats, size: int) -> Integers:
        """Positions drawn in proportion to the weights."""
        cumulative = np.cumsum(weights)
        return np.searchsorted(cumulative[:-1] / cumulative[-1], self.uniform(size), side="right")

    def holds(self, probability_B: Floats) -> NDArray[np.bool_]:
        return self.uniform(len(probability_B)) < probability_B

    def zipf(self, size: int, exponent: float) -> Floats:
        """Weights 1, 2^-exponent, 3^-exponent, ... in random order."""
        weights = np.arange(1, size + 1, dtype=np.float64) ** -exponent
        return weights[np.argsort(self.uniform(size), kind="stable")]
