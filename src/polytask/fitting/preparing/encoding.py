"""Tables -> tensors with encoders that are fitted already."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch

from polytask.config import FitConfig
from polytask.data.derive import Derivation, parse_derivation
from polytask.data.encoder import TableEncoder
from polytask.data.examples import Examples
from polytask.data.labels import Encoded, LabelEncoder
from polytask.data.readers import require_columns
from polytask.data.weights import encode_weights


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
) -> tuple[torch.Tensor, ...]:
    """Inputs of a table that may lack labels: only what the inputs rest on is derived."""
    derivations = [parse_derivation(text) for text in config.derive]
    numbers, categories = columns.numeric, columns.categorical
    names = frozenset([c.name for c in numbers] + [c.name for c in categories])
    needed = derived_from(derivations, names)
    table = apply_derivations(table, [d for d in derivations if d.name in needed])
    numeric_BN, categorical_BC = columns.encode(table)
    return torch.from_numpy(numeric_BN), torch.from_numpy(categorical_BC)


def encode_examples(
    config: FitConfig, table: pa.Table, columns: TableEncoder, targets: LabelEncoder
) -> tuple[Examples, Encoded]:
    """Inputs, labels, weights and groups of a table that has its derived columns; its labels again
    with how many there are."""
    numeric_BN, categorical_BC = columns.encode(table)
    weights_BT = encode_weights(
        table,
        targets.tasks,
        weight_columns={k: v for k, v in config.weight.items() if isinstance(v, str)},
        weight_numbers={},
    )
    encoded = targets.encode(table)
    examples = Examples(
        inputs=(torch.from_numpy(numeric_BN), torch.from_numpy(categorical_BC)),
        labels_BT=torch.from_numpy(encoded.labels_BT),
        weights_BT=None if weights_BT is None else torch.from_numpy(weights_BT),
        group_B=None if config.group is None else _group_codes(table, config.group),
    )
    return examples, encoded


def _group_codes(table: pa.Table, name: str) -> torch.Tensor:
    """Codes 0, 1, ... of the column's values within this table; a missing one is a group alone."""
    require_columns(table, [name], "--group")
    codes = table[name].combine_chunks().dictionary_encode().indices
    rows = np.arange(len(codes), dtype=np.int64)
    known = codes.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return torch.from_numpy(np.where(known < 0, -1 - rows, known))
