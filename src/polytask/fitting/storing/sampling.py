"""A sample of a table's rows on disk: what everything but the counts of values is fitted on."""

from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from polytask.data.random_cuts import VALID, RandomCuts
from polytask.data.readers import read_table
from polytask.fitting.preparing.encoding import apply_derivations
from polytask.fitting.storing.parts import PartRule
from polytask.fitting.storing.pieces import PieceReader

SAMPLE_ROWS = 1 << 19
"""A random half million: a table of no more rows is its own sample, and nothing is estimated."""
_SALT = 0x5851F42D4C957F2D
_TABLE, _ROWS = "sample.parquet", "sample.npy"


class Sample(NamedTuple):
    """Some rows of a table with derived columns, their numbers in it, and the part of each."""

    table: pa.Table
    rows: NDArray[np.int64]
    part_B: NDArray[np.int8]


def share_of_rows(num_rows: int, wanted: int, seed: int) -> RandomCuts:
    """Which rows to take to have `wanted` of them, or all: those in its part VALID."""
    if num_rows <= wanted:
        return RandomCuts(seed, 2**64, 0)
    # By the seed of the split itself, the rows drawn first would be those of the test.
    own = seed + _SALT
    return RandomCuts.of(num_rows, valid_fraction=wanted / num_rows, test_fraction=0, seed=own)


def write_sample(
    folder: Path, reader: PieceReader, rule: PartRule, *, num_rows: int, seed: int
) -> None:
    """Keep about `num_rows` rows as they are written in the table, and which parts they are in."""
    cuts = share_of_rows(reader.scan.num_rows, num_rows, seed)
    rows, parts = [], []
    pieces = reader.raw()
    first = next(pieces)
    with pq.ParquetWriter(folder / _TABLE, first.schema, compression="lz4") as writer:
        first_row = 0
        for piece, walked in zip(chain([first], pieces), rule.walk(reader, ()), strict=True):
            numbers_B = np.arange(first_row, first_row + piece.num_rows)
            chosen = np.flatnonzero(cuts.parts(numbers_B.astype(np.uint64)) == VALID)
            writer.write_table(piece.take(chosen))
            rows.append(numbers_B[chosen])
            parts.append(walked.part_B[chosen])
            first_row += piece.num_rows
    np.save(folder / _ROWS, np.stack([np.concatenate(rows), np.concatenate(parts)]))


def read_sample(folder: Path, reader: PieceReader) -> Sample:
    """The rows of `write_sample`, read as the table would be."""
    rows, parts = np.load(folder / _ROWS)
    table = read_table(folder / _TABLE, options=reader.options)
    return Sample(apply_derivations(table, reader.derivations), rows, parts.astype(np.int8))
