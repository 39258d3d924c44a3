"""Tables -> tensors with encoders that are fitted already."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from polytask.columns.values import coded
from polytask.config import FitConfig
from polytask.data.derive import Derivation, parse_derivation
from polytask.data.labels import Encoded, LabelEncoder
from polytask.data.notes import date_orders_of
from polytask.data.options import ReadOptions
from polytask.data.readers import require_columns
from polytask.data.weights import encode_weights
from polytask.errors import flag
from polytask.fitting.preparing.words import INPUT, check_lengths
from polytask.inputs import FittedInputs
from polytask.streams import Batch


def read_options(config: FitConfig, inputs: FittedInputs | None = None) -> ReadOptions:
    """How tables are read; once the inputs are fitted, as the training table was."""
    options = ReadOptions(
        text={
            *config.text,
            *config.columns.get("text", ()),
            *config.columns.get("pretrained", ()),
            *config.columns.get(INPUT, ()),
        },
        numbers=config.numeric,
        codes=config.categorical,
        missing=config.missing,
        decimal=config.decimal,
        dates=config.dates,
        encoding=config.encoding,
        skip=config.ignore,
        files=config.columns.get("image", ()),
        on_bad_file=config.on_bad_file,
    )
    if inputs is None:
        return options
    texts = {
        name: words for one in inputs.by_name.values() for name, words in one.known_words().items()
    }
    numbers = inputs.by_name["numeric"].columns if "numeric" in inputs.by_name else ()
    return replace(
        options,
        numbers={*options.numbers, *numbers},
        text={*options.text, *texts},
        values={**options.values, **texts},
    )


def with_dates(config: FitConfig, table: pa.Table) -> FitConfig:
    """The options with the order in which the table's text has dates: later tables are read alike."""
    require_columns(table, [*config.dates], "--dates")
    return config.model_copy(update={"dates": {**date_orders_of(table), **config.dates}})


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


def inputs_made_from(config: FitConfig, inputs: FittedInputs) -> frozenset[str]:
    """The columns that inputs are, or are derived from."""
    derivations = [parse_derivation(text) for text in config.derive]
    return derived_from(derivations, frozenset(inputs.columns))


def encode_inputs(
    config: FitConfig, table: pa.Table, inputs: FittedInputs
) -> Mapping[str, torch.Tensor]:
    """Inputs of a table that may lack labels: only what the inputs rest on is derived."""
    derivations = [parse_derivation(text) for text in config.derive]
    needed = inputs_made_from(config, inputs)
    return inputs.encode(apply_derivations(table, [d for d in derivations if d.name in needed]))


def encode_examples(
    config: FitConfig,
    table: pa.Table,
    inputs: FittedInputs,
    targets: LabelEncoder,
    *,
    rows: NDArray[np.int64] | None = None,
    part: str = "",
) -> tuple[Batch, Encoded]:
    """Inputs, labels, weights and groups of a table that has its derived columns; its labels again
    with how many there are.

    `rows` are the numbers of its rows in the table of which it is a `part`.
    """
    names = [task.name for task in targets.tasks]
    if INPUT in inputs.by_name:
        (words,) = inputs.by_name[INPUT].columns
        check_lengths(table, words, targets.tasks, rows=rows, part=part)
    encoded = targets.encode(table)
    columns = {k: v for k, v in config.weight.items() if isinstance(v, str)}
    weights = encode_weights(table, targets.tasks, columns)
    batch = Batch(
        inputs=inputs.encode(table),
        labels={name: torch.from_numpy(encoded.labels_BT[:, t]) for t, name in enumerate(names)}
        | {name: torch.from_numpy(labels_BL) for name, labels_BL in encoded.words.items()},
        weights={name: torch.from_numpy(weights_B) for name, weights_B in weights.items()},
        groups=None if config.group is None else group_codes(table, config.group),
    )
    return batch, encoded


def group_codes(table: pa.Table, name: str) -> torch.Tensor:
    """Codes 0, 1, ... of the column's values within this table; a missing one is a group alone."""
    require_columns(table, [name], "--group")
    codes_B = coded(table[name], flag("group", name)).codes_B.astype(np.int64)
    return torch.from_numpy(np.where(codes_B < 0, -1 - np.arange(len(codes_B)), codes_B))
