"""Random-looking numbers of values, the same in every piece of a table."""

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.columns.values import coded


def mixed(values_B: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """A random-looking 64-bit number per value: two rounds of splitmix64 (Steele et al., 2014)."""
    mixed_B = values_B
    for constant in (seed % 2**64, 0x9E3779B97F4A7C15):
        mixed_B = mixed_B + np.uint64(constant)
        mixed_B = (mixed_B ^ (mixed_B >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed_B = (mixed_B ^ (mixed_B >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed_B = mixed_B ^ (mixed_B >> np.uint64(31))
    return mixed_B


def keys_of(column: pa.ChunkedArray, what: str, row_B: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each value, by its text: equal where values are, whichever piece they are in.

    A missing value has one of its own, by the number of its row in the table.

    >>> keys = keys_of(pa.chunked_array([["a", "b", "a", None]]), "it", np.arange(4)).tolist()
    >>> keys[0] == keys[2] != keys[1], keys[3]
    (True, -4)
    """
    found = coded(column, what)
    texts = found.values.cast(pa.large_string()).to_pylist()
    keys = [
        int.from_bytes(hashlib.blake2b(t.encode(), digest_size=8).digest(), "big") for t in texts
    ]
    # 63 bits: what is negative is a missing value.
    keys_V = (np.array(keys, dtype=np.uint64) >> np.uint64(1)).astype(np.int64)
    return np.where(found.codes_B < 0, -1 - row_B, found.spread(keys_V, missing=0))
