"""Rows drawn at random from what a run knows of its columns, missing and never seen values among them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.inputs import FittedInputs
from polytask.inputs.categories import Categories
from polytask.inputs.frequent_values import FrequentValues
from polytask.inputs.history import KeyHistory
from polytask.inputs.numbers import Numbers, NumericScale
from polytask.inputs.time import Time
from polytask.inputs.vocabulary import Vocabulary
from polytask.serving.contract import RawColumn, Value

_MISSING, _UNSEEN = 0.1, 0.1
_FAR = 10.0
"""Deviations from the mean at which a number is far from all training rows, and no network leaves float32."""


def drawn_rows(
    inputs: FittedInputs, columns: Sequence[RawColumn], num_rows: int, *, seed: int
) -> pa.Table:
    """A table of the raw columns; the first row lacks every value, the second has values never seen."""
    generator = np.random.default_rng(seed)
    table = {column.name: _drawn(inputs, column, num_rows, generator) for column in columns}
    return pa.table(table)


def _drawn(
    inputs: FittedInputs, column: RawColumn, num_rows: int, generator: np.random.Generator
) -> pa.Array:
    pool = _pool(inputs, column, generator)
    chosen = generator.integers(0, len(pool), num_rows)
    fates = generator.random(num_rows)
    fates[:2] = 0.0, _MISSING + _UNSEEN / 2
    unseen = _unseen(inputs, column)
    values = [
        None if fate < _MISSING else unseen if fate < _MISSING + _UNSEEN else pool[place]
        for fate, place in zip(fates, chosen)
    ]
    kinds = {"texts": pa.large_string(), "large integers": pa.uint64(), "booleans": pa.bool_()}
    others = pa.float64() if column.holds == "numbers" else pa.int64()
    if column.holds == "times":
        others = pa.timestamp("us", "UTC" if column.has_zone else None)
    return pa.array(values, kinds.get(column.holds, others))


def _unseen(inputs: FittedInputs, column: RawColumn) -> Value:
    """A value that no training row had, or that is far from all of them."""
    if column.holds == "texts":
        return "never seen \u00e9\u4e2d"
    if column.holds == "booleans":
        return True
    if column.holds == "numbers":
        for one in inputs.by_name.values():
            if isinstance(one, Numbers) and column.name in one.columns:
                scale = one.scales[one.columns.index(column.name)]
                return scale.mean + _FAR * scale.std
        return -1e4
    return 4_102_444_800_000_000 if column.holds == "times" else 8_765_432_101


def _pool(inputs: FittedInputs, column: RawColumn, generator: np.random.Generator) -> list[Value]:
    """Values that training rows had, or that lie among theirs."""
    name, found = column.name, list[Value]()
    for one in inputs.by_name.values():
        if isinstance(one, Numbers) and name in one.columns:
            found += _numbers(one.scales[one.columns.index(name)], generator)
        elif isinstance(one, FrequentValues) and name in one.columns:
            found += one.values[one.columns.index(name)]
        elif isinstance(one, Time) and name in one.columns:
            clock = one.clocks[one.columns.index(name)]
            found += _times(clock.first, clock.last, generator, clock.unit)
        elif isinstance(one, KeyHistory) and name == one.time:
            back = one.blocks.width * one.blocks.count
            ends = (one.blocks.end - back, one.blocks.end + one.blocks.width)
            found += generator.uniform(*ends, 50).round().tolist()
        else:
            found += [v for each in _vocabularies(one, name) for v in _some(each, generator)]
    if column.holds in ("integers", "times", "large integers"):
        whole = [int(v) for v in found if isinstance(v, int | float) and abs(v) < 2**63]
        return list(whole) or generator.integers(0, 2400, 50).tolist()
    if column.holds == "booleans":
        return [False, True]
    return found or (
        ["a", "b"] if column.holds == "texts" else generator.uniform(0, 2400, 50).tolist()
    )


def _vocabularies(one: object, name: str) -> list[Vocabulary]:
    if isinstance(one, Categories):
        return [v for column, v in zip(one.columns, one.vocabularies) if column == name]
    if isinstance(one, KeyHistory):
        pairs = [pair for past in one.pasts for pair in zip(past.key, past.vocabularies)]
        return [v for column, v in pairs if column == name]
    return []


def _some(vocabulary: Vocabulary, generator: np.random.Generator) -> list[Value]:
    values = vocabulary.values.array
    places = generator.integers(0, max(len(values), 1), min(len(values), 200))
    found: list[Value] = values.take(pa.array(places)).to_pylist()
    return found


def _numbers(scale: NumericScale, generator: np.random.Generator) -> list[Value]:
    """Edges themselves, values between and beyond them."""
    edges = np.array(scale.edges) * scale.std + scale.mean
    near: NDArray[np.float64] = scale.mean + scale.std * generator.normal(size=50) * 2
    found = np.concatenate([edges, np.array(scale.quantiles), near])
    if "int" in scale.dtype:
        found = found.round()
    elif scale.dtype == "bool":
        found = np.array([0.0, 1.0])
    found = found[np.isfinite(found)]
    values: list[Value] = found.tolist()
    return values


def _times(first: int, last: int, generator: np.random.Generator, unit: str | None) -> list[Value]:
    """From before the first training row to after the last one, in the column's unit."""
    span = max(last - first, 86_400_000_000)
    ticks = generator.uniform(first - span / 4, last + span / 4, 50).astype(np.int64)
    if unit == "yyyymmdd":
        days = ticks.astype("datetime64[us]").astype("datetime64[D]")
        return [int(str(day).replace("-", "")) for day in days]
    per = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3, None: 1.0}[unit]
    values: list[Value] = (ticks / per).astype(np.int64).tolist()
    return values
