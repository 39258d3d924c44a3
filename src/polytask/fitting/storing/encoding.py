"""Pieces of a table -> encoded rows on disk: all for training, and as many as memory holds of the rest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from polytask.config import FitConfig
from polytask.data.labels import LabelCount, LabelEncoder
from polytask.data.random_cuts import TEST, VALID, RandomCuts
from polytask.errors import UserError
from polytask.fitting.preparing.encoding import encode_examples, group_codes
from polytask.fitting.storing.parts import PART_NAMES, Walked
from polytask.fitting.storing.pieces import placed
from polytask.fitting.storing.sampling import share_of_rows
from polytask.inputs import FittedInputs
from polytask.streams import Batch, RowsWriter

MOST_ROWS = {VALID: 1 << 20, TEST: 1 << 21}
"""So many rows are validated on and tested on, drawn at random: they are scored in memory."""


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
        self, table: pa.Table, rows_B: NDArray[np.int64]
    ) -> tuple[Batch, tuple[LabelCount, ...]]:
        """The rows, without their groups, and how they are labelled."""
        config = self.config.model_copy(update={"group": None})
        batch, labels = encode_examples(config, table, self.inputs, self.targets)
        return replace(batch, rows=torch.from_numpy(rows_B)), labels.counts


@dataclass(slots=True)
class _Held:
    """Encoded rows in memory, with the values of their groups."""

    chosen: RandomCuts
    pieces: list[Batch] = field(default_factory=list)
    groups: list[pa.ChunkedArray] = field(default_factory=list)

    def whole(self, group: str | None) -> Batch:
        batch = Batch.joined(self.pieces)
        if group is None:
            return batch
        values = [chunk for column in self.groups for chunk in column.chunks]
        table = pa.table({group: pa.chunked_array(values)})
        return replace(batch, groups=group_codes(table, group))


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
    train = RowsWriter(folder / PART_NAMES[0], num_rows=num_rows[0], seed=seed)
    held = {
        part: _Held(share_of_rows(num_rows[part], most, seed + part))
        for part, most in MOST_ROWS.items()
    }
    counts: dict[str, tuple[LabelCount, ...]] = {}
    seen = np.zeros(3, dtype=np.uint64)
    for piece in (piece for walk in walks for piece in walk):
        for part, name in enumerate(PART_NAMES):
            places_B = piece.rows_of(part)
            if part in held:
                among_B = np.arange(len(places_B), dtype=np.uint64) + seen[part]
                seen[part] += np.uint64(len(places_B))
                places_B = places_B[held[part].chosen.parts(among_B) == VALID]
            if not len(places_B):
                continue
            table = piece.table.take(places_B)
            try:
                batch, labelled = encoder.encode(table, places_B + piece.first_row)
            except UserError as error:
                raise placed(error, piece.first_row) from error
            counts[name] = _added(counts.get(name), labelled)
            if part not in held:
                train.add(batch)
                continue
            held[part].pieces.append(batch)
            if encoder.config.group is not None:
                held[part].groups.append(table[encoder.config.group])
    train.finish()
    for part, rows in held.items():
        if rows.pieces:
            batch = rows.whole(encoder.config.group)
            writer = RowsWriter(folder / PART_NAMES[part], num_rows=len(batch), seed=seed)
            writer.add(batch)
            writer.finish()
    return counts


def _added(
    before: tuple[LabelCount, ...] | None, more: tuple[LabelCount, ...]
) -> tuple[LabelCount, ...]:
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
