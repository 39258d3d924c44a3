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
    _check_fractions(valid_fraction, test_fraction)
    order = np.argsort(_mixed(np.arange(num_rows, dtype=np.uint64), seed), kind="stable")
    num_test = round(num_rows * test_fraction)
    num_valid = round(num_rows * valid_fraction)
    part_B = np.zeros(num_rows, dtype=np.int8)
    part_B[order[:num_test]] = _TEST
    part_B[order[num_test : num_test + num_valid]] = _VALID
    wanted = (valid_fraction > 0, test_fraction > 0)
    return _split(part_B, wanted, f"there are {told(num_rows, 'row')}")


def split_by_key(
    key: pa.ChunkedArray, *, valid_fraction: float, test_fraction: float, seed: int
) -> Split:
    """Rows by a hash of the key's value: all rows of one user stay on one side, on every machine.

    Fractions are of the keys, and approximate. Hashed is the value's text, so the integer 5 and
    the text "5" of another file fall on the same side. A missing key is a UserError.
    """
    _check_fractions(valid_fraction, test_fraction)
    column = coded(key, "the split key")
    _require_present(int((column.codes_B < 0).sum()), "the split key")
    share = np.array([_share(text, seed) for text in column.values.cast(pa.string()).to_pylist()])
    part = np.zeros(len(share), dtype=np.int8)
    part[share < test_fraction + valid_fraction] = _VALID
    part[share < test_fraction] = _TEST
    wanted = (valid_fraction > 0, test_fraction > 0)
    return _split(
        column.spread(part, missing=0), wanted, f"the key has {told(len(share), 'value')}"
    )


def split_by_cutoffs(
    column: pa.ChunkedArray, *, valid_from: Cutoff | None, test_from: Cutoff | None
) -> Split:
    """Train before `valid_from`, validation from there, test from `test_from` on.

    Without `valid_from` no row is for validation, without `test_from` none for test. Cut-offs are
    read in the column's type (numbers; dates as 2022-05-03; text by its order); a time without an
    offset is one of the column's own zone.
    """
    column = column.cast(value_type(column.type))
    _require_present(pc.sum(pc.is_null(column, nan_is_null=True)).as_py(), "the split column")
    try:
        limits = pc.min_max(column)
    except pa.ArrowNotImplementedError as error:
        raise UserError(f"a column of {column.type} has no order to split by") from error
    message = f"the column goes from {limits['min']} to {limits['max']}"
    part_B = np.zeros(len(column), dtype=np.int8)
    bounds = [_bound(cutoff, column.type) for cutoff in (valid_from, test_from)]
    if None not in bounds and pc.greater(bounds[0], bounds[1]).as_py():
        raise UserError(f"{valid_from=} comes after {test_from=}")
    for bound, part in zip(bounds, (_VALID, _TEST)):
        if bound is not None:
            part_B[pc.greater_equal(column, bound).to_numpy()] = part
    return _split(part_B, (valid_from is not None, test_from is not None), message)


_VALID, _TEST = 1, 2


def _split(part_B: NDArray[np.int8], wanted: tuple[bool, bool], message: str) -> Split:
    """The rows of each part; a part that was asked for and is empty is a UserError."""
    train, valid, test = (np.flatnonzero(part_B == part) for part in (0, _VALID, _TEST))
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


def _check_fractions(valid_fraction: float, test_fraction: float) -> None:
    if not (valid_fraction >= 0 and test_fraction >= 0 and valid_fraction + test_fraction < 1):
        raise UserError(
            "fractions must not be negative and must leave rows for training, "
            f"but {valid_fraction=} and {test_fraction=}"
        )


def _mixed(values_B: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """A random-looking 64-bit number per value: two rounds of splitmix64 (Steele et al., 2014)."""
    mixed_B = values_B
    for constant in (seed % 2**64, 0x9E3779B97F4A7C15):
        mixed_B = mixed_B + np.uint64(constant)
        mixed_B = (mixed_B ^ (mixed_B >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed_B = (mixed_B ^ (mixed_B >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed_B = mixed_B ^ (mixed_B >> np.uint64(31))
    return mixed_B


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
    raise UserError(f"the cut-off {cutoff!r} cannot be compared with a column of {dtype}")


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
