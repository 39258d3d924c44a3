"""Pieces of a table -> encoded rows on disk: all for training and for the test, and a draw for validation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from polytask.columns.hashing import keys_of
from polytask.config import FitConfig
from polytask.data.labels import LabelCount, LabelEncoder
from polytask.data.random_cuts import TEST, VALID
from polytask.errors import UserError, flag
from polytask.fitting.preparing.encoding import encode_examples
from polytask.fitting.storing.parts import PART_NAMES, Walked
from polytask.fitting.storing.pieces import placed
from polytask.fitting.storing.sampling import share_of_rows
from polytask.inputs import FittedInputs
from polytask.streams import Batch, RowsWriter

MOST_VALID_ROWS = 1 << 20
"""So many rows are validated on, drawn at random: they are scored in memory, and again and again."""


@dataclass(frozen=True, slots=True)
class RowEncoder:
    """Encoders that are fitted, and the options they were fitted with."""

    config: FitConfig
    inputs: FittedInputs
    targets: LabelEncoder

    @property
    def columns(self) -> frozenset[str]:
        """What has to be read of a table."""
        weights = {column for column in self.config.weight.values() if isinstance(column, str)}
        group = set() if self.config.group is None else {self.config.group}
        labels = {task.column for task in self.targets.tasks}
        return frozenset({*self.inputs.columns, *labels, *weights, *group})

    def encode(
        self, table: pa.Table, rows_B: NDArray[np.int64], *, with_groups: bool
    ) -> tuple[Batch, tuple[LabelCount, ...]]:
        """The rows, and how they are labelled. Their groups have numbers that hold in every piece."""
        group = self.config.group if with_groups else None
        config = self.config.model_copy(update={"group": None})
        batch, labels = encode_examples(config, table, self.inputs, self.targets)
        keys_B = None if group is None else keys_of(table[group], flag("group", group), rows_B)
        groups = None if keys_B is None else torch.from_numpy(keys_B)
        return replace(batch, rows=torch.from_numpy(rows_B), groups=groups), labels.counts


def write_rows(
    folder: Path,
    encoder: RowEncoder,
    walks: Sequence[Iterable[Walked]],
    num_rows: Sequence[int],
    *,
    seed: int,
) -> dict[str, tuple[LabelCount, ...]]:
    """Folders `train`, `valid` and `test` of encoded rows; how the rows of each part are labelled.

    `walks` are the tables in pieces, `num_rows` the rows of each part in them.
    """
    writers = {
        part: RowsWriter(folder / PART_NAMES[part], num_rows=num_rows[part], seed=seed)
        for part in (0, TEST)
        if num_rows[part]
    }
    chosen = share_of_rows(num_rows[VALID], MOST_VALID_ROWS, seed + VALID)
    counts: dict[str, tuple[LabelCount, ...]] = {}
    drawn: list[Batch] = []
    num_seen = 0
    for piece in (piece for walk in walks for piece in walk):
        for part, name in enumerate(PART_NAMES):
            places_B = piece.rows_of(part)
            if part == VALID:
                among_B = np.arange(num_seen, num_seen + len(places_B), dtype=np.uint64)
                num_seen += len(places_B)
                places_B = places_B[chosen.parts(among_B) == VALID]
            if not len(places_B):
                continue
            batch, labelled = _encoded(encoder, piece, places_B, with_groups=part != 0)
            counts[name] = added_counts(counts.get(name), labelled)
            if part == VALID:
                drawn.append(batch)
            else:
                writers[part].add(batch)
    if drawn:
        batch = Batch.joined(drawn)
        writers[VALID] = RowsWriter(folder / PART_NAMES[VALID], num_rows=len(batch), seed=seed)
        writers[VALID].add(batch)
    for writer in writers.values():
        writer.finish()
    return counts


def _encoded(
    encoder: RowEncoder, piece: Walked, places_B: NDArray[np.int64], *, with_groups: bool
) -> tuple[Batch, tuple[LabelCount, ...]]:
    table, rows_B = piece.table.take(places_B), places_B + piece.first_row
    try:
        return encoder.encode(table, rows_B, with_groups=with_groups)
    except UserError as error:
        raise placed(error, piece.first_row) from error


def added_counts(
    before: tuple[LabelCount, ...] | None, more: tuple[LabelCount, ...]
) -> tuple[LabelCount, ...]:
    """How the rows of two pieces are labelled."""
    if before is None:
        return more
    return tuple(
        replace(
            one,
            labelled=one.labelled + other.labelled,
            unseen=one.unseen + other.unseen,
            conflicts=one.conflicts + other.conflicts,
            unseen_example=one.unseen_example or other.unseen_example,
        )
        for one, other in zip(before, more)
    )


Counts = Mapping[str, tuple[LabelCount, ...]]
"""By part, how its rows are labelled, a record a task."""
