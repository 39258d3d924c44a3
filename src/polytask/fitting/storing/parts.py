"""Which part a row is in, piece by piece: the same rows as `split_table` of the whole table."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.config import FitConfig
from polytask.data.random_cuts import TEST, VALID, RandomCuts
from polytask.data.splits import Cutoff, cutoff_parts, key_parts
from polytask.errors import UserError, flag
from polytask.fitting.preparing.splitting import is_by_time
from polytask.fitting.storing.pieces import PieceReader

PART_NAMES = ("train", "valid", "test")
"""Parts by the numbers that rows have."""


class Walked(NamedTuple):
    """A piece of a table, the number of its first row, and the part of each of its rows."""

    table: pa.Table
    first_row: int
    part_B: NDArray[np.int8]

    def rows_of(self, part: int) -> NDArray[np.int64]:
        """The places in the piece of the rows of a part."""
        return np.flatnonzero(self.part_B == part)


class PartRule(ABC):
    """How rows are parted; `columns` is what it reads of them."""

    columns: tuple[str, ...]

    @abstractmethod
    def parts(self, table: pa.Table, first_row: int, num_before: int) -> NDArray[np.int8]:
        """0, VALID or TEST a row. `num_before` rows before these are for training or validation."""

    def walk(self, reader: PieceReader, columns: Collection[str]) -> Iterator[Walked]:
        """The table in order, with these columns and its own."""
        first_row = num_before = 0
        for table in reader.tables({*columns, *self.columns}):
            part_B = self.parts(table, first_row, num_before)
            yield Walked(table, first_row, part_B)
            first_row += table.num_rows
            num_before += int(np.count_nonzero(part_B != TEST))


@dataclass(frozen=True, slots=True)
class _AtRandom(PartRule):
    cuts: RandomCuts
    columns: tuple[str, ...] = ()

    def parts(self, table: pa.Table, first_row: int, num_before: int) -> NDArray[np.int8]:
        return self.cuts.parts(np.arange(first_row, first_row + table.num_rows, dtype=np.uint64))


@dataclass(frozen=True, slots=True)
class _ByKey(PartRule):
    columns: tuple[str, ...]
    valid_fraction: float
    test_fraction: float
    seed: int

    def parts(self, table: pa.Table, first_row: int, num_before: int) -> NDArray[np.int8]:
        return key_parts(
            table[self.columns[0]],
            valid_fraction=self.valid_fraction,
            test_fraction=self.test_fraction,
            seed=self.seed,
        )[0]


@dataclass(frozen=True, slots=True)
class _ByTime(PartRule):
    """By cut-offs; `inner` draws the validation rows from those before the test."""

    columns: tuple[str, ...]
    valid_from: Cutoff | None
    test_from: Cutoff | None
    inner: RandomCuts | None = None

    def parts(self, table: pa.Table, first_row: int, num_before: int) -> NDArray[np.int8]:
        try:
            part_B = cutoff_parts(
                table[self.columns[0]], valid_from=self.valid_from, test_from=self.test_from
            )
        except UserError as error:
            raise UserError(f"{flag('time-column', self.columns[0])}: {error.message}") from error
        if self.inner is not None:
            early = np.flatnonzero(part_B == 0)
            part_B[early] = self.inner.parts(
                np.arange(len(early), dtype=np.uint64) + np.uint64(num_before)
            )
        return part_B


@dataclass(frozen=True, slots=True)
class OnePart(PartRule):
    """A table of its own for one part."""

    part: int
    columns: tuple[str, ...] = ()

    def parts(self, table: pa.Table, first_row: int, num_before: int) -> NDArray[np.int8]:
        return np.full(table.num_rows, self.part, dtype=np.int8)


def part_rule(config: FitConfig, reader: PieceReader, *, given: Collection[str]) -> PartRule:
    """The rule that the options ask for; a part that is `given` is a table of its own."""
    valid_fraction = 0.0 if "valid" in given else config.valid_fraction
    test_fraction = 0.0 if "test" in given else config.test_fraction
    if not is_by_time(config):
        if config.split_by is not None:
            return _ByKey((config.split_by,), valid_fraction, test_fraction, config.split_seed)
        return _AtRandom(
            RandomCuts.of(
                reader.scan.num_rows,
                valid_fraction=valid_fraction,
                test_fraction=test_fraction,
                seed=config.split_seed,
            )
        )
    assert config.time_column is not None
    by_time = _ByTime((config.time_column,), config.valid_from, config.test_from)
    if config.valid_from is not None or valid_fraction == 0:
        return by_time
    num_early = sum(int(np.count_nonzero(w.part_B != TEST)) for w in by_time.walk(reader, ()))
    inner = RandomCuts.of(
        num_early, valid_fraction=valid_fraction, test_fraction=0, seed=config.split_seed
    )
    return _ByTime(by_time.columns, None, config.test_from, inner)


def require_rows(config: FitConfig, counts: NDArray[np.int64], *, given: Collection[str]) -> None:
    """UserError where a part that was asked for has no row."""
    wanted = {
        "training": (0, True),
        "validation": (VALID, "valid" not in given and _wants(config, "valid")),
        "test": (TEST, "test" not in given and _wants(config, "test")),
    }
    for name, (part, is_wanted) in wanted.items():
        if is_wanted and counts[part] == 0:
            raise UserError(f"the split leaves no row for {name} of {counts.sum():,}")


def _wants(config: FitConfig, part: str) -> bool:
    if is_by_time(config):
        if getattr(config, f"{part}_from") is not None:
            return True
        return part == "valid" and config.valid_fraction > 0
    return bool(getattr(config, f"{part}_fraction") > 0)
