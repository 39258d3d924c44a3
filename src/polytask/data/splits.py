"""Train, validation and test rows: at random, by a key, or by cut-offs of a column."""

import datetime
import hashlib
import math
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.columns.values import coded, is_number, is_text, told, value_type
from polytask.data.random_cuts import TEST, VALID, RandomCuts, check_fractions
from polytask.errors import UserError

Cutoff = str | int | float | datetime.date | datetime.datetime


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Row indices of the three parts, ascending, without a row in common."""

    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]


def split_random(num_rows: int, *, valid_fraction: float, test_fraction: float, seed: int) -> Split:
    """Rows at random, each part of exactly the rounded size.

    The order comes from a hash of (row, seed), so it is the same with every numpy; the test rows
    do not depend on `valid_fraction`.

    >>> split = split_random(10, valid_fraction=0.2, test_fraction=0.3, seed=0)
    >>> len(split.train), len(split.valid), len(split.test)
    (5, 2, 3)
    """
    cuts = RandomCuts.of(
        num_rows, valid_fraction=valid_fraction, test_fraction=test_fraction, seed=seed
    )
    wanted = (valid_fraction > 0, test_fraction > 0)
    part_B = cuts.parts(np.arange(num_rows, dtype=np.uint64))
    return split_of(part_B, wanted, f"there are {told(num_rows, 'row')}")


def split_by_key(
    key: pa.ChunkedArray, *, valid_fraction: float, test_fraction: float, seed: int
) -> Split:
    """Rows by a hash of the key's value: all rows of one user stay on one side, on every machine.

    Fractions are of the keys, and approximate. Hashed is the value's text, so the integer 5 and
    the text "5" of another file fall on the same side. A missing key is a UserError.
    """
    part_B, num_values = key_parts(
        key, valid_fraction=valid_fraction, test_fraction=test_fraction, seed=seed
    )
    wanted = (valid_fraction > 0, test_fraction > 0)
    return split_of(part_B, wanted, f"the key has {told(num_values, 'value')}")


def key_parts(
    key: pa.ChunkedArray, *, valid_fraction: float, test_fraction: float, seed: int
) -> tuple[NDArray[np.int8], int]:
    """`split_by_key` of some rows: the part of each, and how many different keys they have."""
    check_fractions(valid_fraction, test_fraction)
    column = coded(key, "the split key")
    _require_present(int((column.codes_B < 0).sum()), "the split key")
    share = np.array([_share(text, seed) for text in column.values.cast(pa.string()).to_pylist()])
    part = np.zeros(len(share), dtype=np.int8)
    part[share < test_fraction + valid_fraction] = VALID
    part[share < test_fraction] = TEST
    return column.spread(part, missing=0), len(share)


def split_by_cutoffs(
    column: pa.ChunkedArray, *, valid_from: Cutoff | None, test_from: Cutoff | None
) -> Split:
    """Train before `valid_from`, validation from there, test from `test_from` on.

    Without `valid_from` no row is for validation, without `test_from` none for test. Cut-offs are
    read in the column's type (numbers; dates as 2022-05-03; text by its order); a time without an
    offset is one of the column's own zone.
    """
    part_B = cutoff_parts(column, valid_from=valid_from, test_from=test_from)
    limits = pc.min_max(column.cast(value_type(column.type)))
    message = f"the column goes from {limits['min']} to {limits['max']}"
    return split_of(part_B, (valid_from is not None, test_from is not None), message)


def cutoff_parts(
    column: pa.ChunkedArray, *, valid_from: Cutoff | None, test_from: Cutoff | None
) -> NDArray[np.int8]:
    """`split_by_cutoffs` of some rows: the part of each."""
    column = column.cast(value_type(column.type))
    _require_present(pc.sum(pc.is_null(column, nan_is_null=True)).as_py() or 0, "the split column")
    try:
        pc.min_max(column)
    except pa.ArrowNotImplementedError as error:
        raise UserError(f"a column of {column.type} has no order to split by") from error
    part_B = np.zeros(len(column), dtype=np.int8)
    bounds = [_bound(cutoff, column.type) for cutoff in (valid_from, test_from)]
    if None not in bounds and pc.greater(bounds[0], bounds[1]).as_py():
        raise UserError(f"{valid_from=} comes after {test_from=}")
    for bound, part in zip(bounds, (VALID, TEST)):
        if bound is not None:
            part_B[pc.greater_equal(column, bound).to_numpy()] = part
    return part_B


def split_of(part_B: NDArray[np.int8], wanted: tuple[bool, bool], message: str) -> Split:
    """The rows of each part; a part that was asked for and is empty is a UserError."""
    train, valid, test = (np.flatnonzero(part_B == part) for part in (0, VALID, TEST))
    asked = {"training": True, "validation": wanted[0], "test": wanted[1]}
    for (name, is_wanted), rows in zip(asked.items(), (train, valid, test)):
        if is_wanted and len(rows) == 0:
            raise UserError(f"the split leaves no row for {name}: {message}")
    return Split(train, valid, test)


def _require_present(num_missing: int, what: str) -> None:
    if num_missing:
        raise UserError(
            f"{what} is missing in {told(num_missing, 'row')}: "
            "drop these rows, or choose another column"
        )


def _share(text: str, seed: int) -> float:
    """A number in [0, 1) from a value's text and the seed."""
    digest = hashlib.blake2b(f"{seed}:{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _bound(cutoff: Cutoff | None, dtype: pa.DataType) -> pa.Scalar | None:
    """The cut-off as a value that compares with the column's."""
    if cutoff is None:
        return None
    try:
        if is_text(dtype) and isinstance(cutoff, str):
            return pa.scalar(cutoff, dtype)
        if (pa.types.is_timestamp(dtype) or pa.types.is_date(dtype)) and not isinstance(
            cutoff, int | float
        ):
            return _instant(str(cutoff).strip(), dtype)
        if is_number(dtype):
            return _number(cutoff, dtype)
    except (pa.ArrowException, ValueError, OverflowError):
        pass
    how = ": write it as 2024-02-29 or 2024-02-29T18:30" if pa.types.is_temporal(dtype) else ""
    raise UserError(f"the cut-off {cutoff!r} cannot be compared with a column of {dtype}{how}")


def _instant(text: str, dtype: pa.DataType) -> pa.Scalar:
    """A date or time; without an offset it is the clock of the column's own zone."""
    instant = datetime.datetime.fromisoformat(text)
    if pa.types.is_date(dtype):
        return pa.scalar(instant.date(), dtype)
    if dtype.tz is not None and instant.tzinfo is None:
        clock = {"ambiguous": "earliest", "nonexistent": "earliest"}
        return pc.assume_timezone(pa.scalar(instant, pa.timestamp("us")), dtype.tz, **clock)
    if dtype.tz is None and instant.tzinfo is not None:
        raise ValueError("an offset, but the column has no zone")
    return pa.scalar(instant, dtype)


def _number(cutoff: Cutoff, dtype: pa.DataType) -> pa.Scalar:
    """A number; a whole one stays an integer of 64 bits."""
    if isinstance(cutoff, str):
        cutoff = int(cutoff) if re.fullmatch(r"\s*-?[0-9]+\s*", cutoff) else float(cutoff)
    if isinstance(cutoff, bool) or not isinstance(cutoff, int | float) or math.isnan(cutoff):
        raise ValueError("neither a number nor its text")
    is_large = isinstance(cutoff, int) and pa.types.is_uint64(dtype)
    return pa.scalar(cutoff, dtype) if is_large else pa.scalar(cutoff)
