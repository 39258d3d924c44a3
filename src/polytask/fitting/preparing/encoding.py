"""Tables -> tensors with encoders that are fitted already."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from polytask.config import FitConfig
from polytask.data.derive import Derivation, parse_derivation
from polytask.data.encoder import TableEncoder
from polytask.data.labels import Encoded, LabelEncoder
from polytask.data.options import ReadOptions
from polytask.data.readers import require_columns
from polytask.data.weights import encode_weights
from polytask.encoders.table import CATEGORIES, NUMBERS
from polytask.streams import Batch


def read_options(config: FitConfig, columns: TableEncoder | None = None) -> ReadOptions:
    """How tables are read; once there is an encoder, as the training table was."""
    options = ReadOptions(
        text=config.text,
        numbers=config.numeric,
        codes=config.categorical,
        missing=config.missing,
        decimal=config.decimal,
        encoding=config.encoding,
        skip=config.ignore,
    )
    if columns is None:
        return options
    texts: dict[str, list[str]] = {}
    for column in columns.categorical:
        words = [value for value in column.values if isinstance(value, str)]
        if words:
            texts[column.name] = words
    return options.as_fitted(numbers=[c.name for c in columns.numeric], texts=texts)


def apply_derivations(table: pa.Table, derivations: Sequence[Derivation]) -> pa.Table:
    """The table with all derived columns, in order; a later one may read an earlier one."""
    for derivation in derivations:
        table = derivation.apply(table)
    return table


def derived_from(derivations: Sequence[Derivation], names: frozenset[str]) -> frozenset[str]:
    """The columns, and all columns that they were derived from."""
    found = set(names)
    for derivation in reversed(derivations):
        if derivation.name in found:
            found |= set(derivation.columns)
    return frozenset(found)


def made_from(derivations: Sequence[Derivation], names: frozenset[str]) -> dict[str, str]:
    """Each column that is derived from one of `names`, directly or through others, and from which."""
    found: dict[str, str] = {}
    for derivation in derivations:
        for column in derivation.columns:
            if column in names or column in found:
                found.setdefault(derivation.name, found.get(column, column))
    return {name: source for name, source in found.items() if name not in names}


def encode_inputs(
    config: FitConfig, table: pa.Table, columns: TableEncoder
) -> Mapping[str, torch.Tensor]:
    """Inputs of a table that may lack labels: only what the inputs rest on is derived."""
    derivations = [parse_derivation(text) for text in config.derive]
    numbers, categories = columns.numeric, columns.categorical
    names = frozenset([c.name for c in numbers] + [c.name for c in categories])
    needed = derived_from(derivations, names)
    table = apply_derivations(table, [d for d in derivations if d.name in needed])
    return _inputs(table, columns)


def encode_examples(
    config: FitConfig, table: pa.Table, columns: TableEncoder, targets: LabelEncoder
) -> tuple[Batch, Encoded]:
    """Inputs, labels, weights and groups of a table that has its derived columns; its labels again
    with how many there are."""
    names = [task.name for task in targets.tasks]
    encoded = targets.encode(table)
    weights_BT = encode_weights(
        table,
        targets.tasks,
        weight_columns={k: v for k, v in config.weight.items() if isinstance(v, str)},
        weight_numbers={},
    )
    batch = Batch(
        inputs=_inputs(table, columns),
        labels=_by_name(names, encoded.labels_BT),
        weights={} if weights_BT is None else _by_name(names, weights_BT),
        groups=None if config.group is None else _group_codes(table, config.group),
    )
    return batch, encoded


def _inputs(table: pa.Table, columns: TableEncoder) -> Mapping[str, torch.Tensor]:
    numeric_BN, categorical_BC = columns.encode(table)
    return {NUMBERS: torch.from_numpy(numeric_BN), CATEGORIES: torch.from_numpy(categorical_BC)}


def _by_name(names: Sequence[str], values_BT: NDArray[np.float32]) -> Mapping[str, torch.Tensor]:
    return {name: torch.from_numpy(values_BT[:, t]) for t, name in enumerate(names)}


def _group_codes(table: pa.Table, name: str) -> torch.Tensor:
    """Codes 0, 1, ... of the column's values within this table; a missing one is a group alone."""
    require_columns(table, [name], "--group")
    codes = table[name].combine_chunks().dictionary_encode().indices
    rows = np.arange(len(codes), dtype=np.int64)
    known = codes.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return torch.from_numpy(np.where(known < 0, -1 - rows, known))
