"""Tables that are evaluated although they have the labels of some tasks only."""

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

from polytask.config import FitConfig
from polytask.data.derive import parse_derivation
from polytask.data.labels import LabelEncoder
from polytask.data.readers import require_columns
from polytask.fitting.preparing.encoding import apply_derivations, derived_from
from polytask.inputs import FittedInputs


class Labelled(NamedTuple):
    """A table with all label columns, the options that hold for it, and a note by task."""

    table: pa.Table
    config: FitConfig
    notes: Mapping[str, str]


def with_lacking_labels(
    config: FitConfig, table: pa.Table, inputs: FittedInputs, targets: LabelEncoder
) -> Labelled:
    """The table with derived columns, and with the label columns that it lacks as missing.

    UserError where it lacks all of them.
    """
    table = _derived(config, table, inputs)
    lacking = [task for task in targets.tasks if task.column not in table.column_names]
    if len(lacking) == len(targets.tasks):
        require_columns(table, [task.column for task in lacking], "the tasks")
    for name in dict.fromkeys(task.column for task in lacking):
        table = table.append_column(name, pa.nulls(table.num_rows))
    notes = {
        task.name: f"not evaluated: the table lacks column {task.column!r}" for task in lacking
    }
    for task in targets.tasks:
        if task.given in notes:
            parent = f"not evaluated: its labels need those of {task.given}, which the table lacks"
            notes.setdefault(task.name, parent)
    weight = {
        name: value
        for name, value in config.weight.items()
        if not (name in notes and isinstance(value, str) and value not in table.column_names)
    }
    return Labelled(table, config.model_copy(update={"weight": weight}), notes)


def _derived(config: FitConfig, table: pa.Table, inputs: FittedInputs) -> pa.Table:
    """With all derived columns but those of labels, the sources of which the table lacks."""
    derivations = [parse_derivation(text) for text in config.derive]
    needed = derived_from(derivations, frozenset(inputs.columns))
    for derivation in derivations:
        if derivation.name in needed or set(derivation.columns) <= set(table.column_names):
            table = apply_derivations(table, [derivation])
    return table
