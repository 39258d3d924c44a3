"""Which rows are trained on, validated on, and tested on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.config import FitConfig
from polytask.data.derive import Derivation
from polytask.data.readers import TableSource, read_table
from polytask.data.splits import Split, split_by_cutoffs, split_by_key, split_random
from polytask.errors import UserError, flag
from polytask.fitting.preparing.encoding import apply_derivations
from polytask.fitting.preparing.growing import growing_options
from polytask.fitting.preparing.where import matching


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Three tables; a part that was not asked for is None.

    `rows` are the numbers of a part's rows in the table that they were read from. Where several data
    sets are joined, `sets` are the number of the data set row by row, which rises, and
    `columns_of` the columns of each by its name.
    """

    train: pa.Table
    valid: pa.Table | None
    test: pa.Table | None
    rows: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    sets: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    columns_of: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def tables(self) -> dict[str, pa.Table]:
        """The parts that there are, by name."""
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: table for name, table in parts.items() if table is not None}

    def rows_of(self, name: str) -> NDArray[np.int64]:
        """The numbers of the rows of a part; a table of its own has all of its rows."""
        return self.rows.get(name, np.arange(self.tables()[name].num_rows))


def split_table(
    config: FitConfig,
    table: pa.Table,
    *,
    derivations: Sequence[Derivation],
    named: Mapping[str, TableSource],
) -> Parts:
    """Split by cut-offs, by key or at random; a table that is named stands for its part."""
    given = {"valid": named.get("valid", config.valid), "test": named.get("test", config.test)}
    split = _split(config, table, given={part for part in given if given[part] is not None})
    valid, test = (
        _take(table, split, part) if source is None else _read(config, source, derivations)
        for part, source in given.items()
    )
    whole = len(split.train) == table.num_rows
    rows = {part: getattr(split, part) for part, source in given.items() if source is None}
    train = table if whole else table.take(split.train)
    return Parts(train, valid, test, {"train": split.train, **rows})


def split_in_words(config: FitConfig, *, named: Collection[str]) -> str:
    """How the parts were parted: "at random, seed 0", "by user_id, seed 0", "by time: ..."."""
    own = [
        name
        for part, name, source in (
            ("valid", "validation", config.valid),
            ("test", "test", config.test),
        )
        if part in named or source is not None
    ]
    if len(own) == 2:
        return "as given: validation and test are tables of their own"
    rule = _rule_in_words(config)
    return f"{rule}; {own[0]} is a table of its own" if own else rule


def _rule_in_words(config: FitConfig) -> str:
    starts = (("validation", config.valid_from), ("test", config.test_from))
    if is_by_time(config):
        cuts = " and ".join(f"{part} from {start}" for part, start in starts if start is not None)
        return f"by time: {cuts} of {config.time_column}"
    how = "at random" if config.split_by is None else f"by {config.split_by}"
    return f"{how}, seed {config.split_seed}"


def is_by_time(config: FitConfig) -> bool:
    """Whether cut-offs of --time-column part the rows; UserError for one without the other.

    With --forget the column may be named for its days alone.
    """
    has_cuts = config.valid_from is not None or config.test_from is not None
    if has_cuts and config.time_column is None:
        raise UserError("--valid-from and --test-from need --time-column: the column they cut")
    if config.time_column is not None and not has_cuts and config.forget is None:
        raise UserError("--time-column needs --valid-from or --test-from, or both")
    return has_cuts


def _split(config: FitConfig, table: pa.Table, *, given: Collection[str]) -> Split:
    valid_fraction = 0.0 if "valid" in given else config.valid_fraction
    test_fraction = 0.0 if "test" in given else config.test_fraction
    if is_by_time(config):
        return _by_time(config, table, valid_fraction=valid_fraction)
    if config.split_by is not None:
        return split_by_key(
            table[config.split_by],
            valid_fraction=valid_fraction,
            test_fraction=test_fraction,
            seed=config.split_seed,
        )
    return split_random(
        table.num_rows,
        valid_fraction=valid_fraction,
        test_fraction=test_fraction,
        seed=config.split_seed,
    )


def _by_time(config: FitConfig, table: pa.Table, *, valid_fraction: float) -> Split:
    """Cut-offs; without --valid-from, validation is a random share of what precedes the test."""
    assert config.time_column is not None
    try:
        split = split_by_cutoffs(
            table[config.time_column], valid_from=config.valid_from, test_from=config.test_from
        )
    except UserError as error:
        raise UserError(f"{flag('time-column', config.time_column)}: {error.message}") from error
    if config.valid_from is not None or valid_fraction == 0:
        return split
    inner = split_random(
        len(split.train), valid_fraction=valid_fraction, test_fraction=0, seed=config.split_seed
    )
    return Split(split.train[inner.train], split.train[inner.valid], split.test)


def _take(table: pa.Table, split: Split, part: str) -> pa.Table | None:
    rows = getattr(split, part)
    return table.take(rows) if len(rows) else None


def _read(config: FitConfig, source: TableSource, derivations: Sequence[Derivation]) -> pa.Table:
    table = apply_derivations(read_table(source, options=growing_options(config)), derivations)
    return matching(table, config.where)
