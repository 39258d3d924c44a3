"""Parts of a table at random: a row's part follows from its number alone, in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polytask.columns.hashing import mixed
from polytask.errors import UserError

VALID, TEST = 1, 2
"""Parts of rows that are not for training, which is 0."""
_LEADING_BITS = 16
_ROWS_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class RandomCuts:
    """Which rows are for validation and test: those whose number's hash is below a cut.

    Of any rows of a table in any order, so that a table need not be in memory to be split.
    """

    seed: int
    valid_below: int
    test_below: int

    @classmethod
    def of(
        cls, num_rows: int, *, valid_fraction: float, test_fraction: float, seed: int
    ) -> "RandomCuts":
        """Parts of exactly the rounded size of a table of so many rows."""
        check_fractions(valid_fraction, test_fraction)
        num_test, num_valid = round(num_rows * test_fraction), round(num_rows * valid_fraction)
        cuts = (_hash_of_rank(num_rows, rank, seed) for rank in (num_test + num_valid, num_test))
        return cls(seed, *cuts)

    def parts(self, rows_B: NDArray[np.uint64]) -> NDArray[np.int8]:
        """0 for training, 1 for validation, 2 for the test, by the rows' numbers."""
        hash_B = mixed(rows_B, self.seed)
        part_B = np.zeros(len(rows_B), dtype=np.int8)
        part_B[hash_B < self.valid_below] = VALID
        part_B[hash_B < self.test_below] = TEST
        return part_B


def _hash_of_rank(num_rows: int, rank: int, seed: int) -> int:
    """The hash below which `rank` rows lie: by a count of leading bits, then by its one bucket."""
    if rank >= num_rows:
        return 2**64
    counts = np.zeros(1 << _LEADING_BITS, dtype=np.int64)
    for hash_B in _hashes(num_rows, seed):
        counts += np.bincount(_leading(hash_B), minlength=len(counts))
    below = np.cumsum(counts) - counts
    bucket = int(np.searchsorted(below, rank, side="right")) - 1
    inside = [hash_B[_leading(hash_B) == bucket] for hash_B in _hashes(num_rows, seed)]
    return int(np.sort(np.concatenate(inside))[rank - below[bucket]])


def _hashes(num_rows: int, seed: int) -> Iterator[NDArray[np.uint64]]:
    for start in range(0, num_rows, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, num_rows)
        yield mixed(np.arange(start, stop, dtype=np.uint64), seed)


def _leading(hash_B: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (hash_B >> np.uint64(64 - _LEADING_BITS)).astype(np.int64)


def check_fractions(valid_fraction: float, test_fraction: float) -> None:
    if not (valid_fraction >= 0 and test_fraction >= 0 and valid_fraction + test_fraction < 1):
        raise UserError(
            "fractions must not be negative and must leave rows for training, "
            f"but {valid_fraction=} and {test_fraction=}"
        )
