"""Predictions and metrics for tables larger than memory: a piece is read, predicted and handed on."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from polytask.data.readers import open_scan, read_table
from polytask.fitting.comparing.spool import PART_ROWS, Spool
from polytask.fitting.preparing.encoding import inputs_made_from, read_options
from polytask.fitting.preparing.lacking import with_lacking_labels
from polytask.fitting.preparing.prepare import unknown_classes
from polytask.fitting.processes.environment import borrowed
from polytask.fitting.run_folder.run import Run
from polytask.fitting.storing.encoding import RowEncoder, added_counts
from polytask.records import Evaluation
from polytask.training.evaluation import predict

_PIECE_ROWS = 1 << 17


def predictions_in_pieces(
    run: Run, table: str | Path, *, keep: Sequence[str] = (), data: str | None = None
) -> Iterator[pa.Table]:
    """`run.predict` of the table's rows in order, some 100,000 at a time where its format allows it.

    Raises UserError as `Run.predict`.
    """
    scan = open_scan(table, options=read_options(run.config, run.inputs))
    # A relative path of a picture is looked up from the table's folder, which a piece does not know.
    if scan is None or scan.num_rows <= _PIECE_ROWS or "image" in run.inputs.by_name:
        yield _as_table(run.predict(table, keep=keep, data=data))
        return
    needed = {*inputs_made_from(run.config, run.inputs), *keep}
    names = [name for name in scan.names if name.strip() in needed or data is not None]
    for piece in scan.batches(names, _PIECE_ROWS):
        yield _as_table(run.predict(piece, keep=keep, data=data))


def evaluated_in_pieces(
    run: Run, table: str | Path, *, data: str | None = None
) -> Mapping[str, Evaluation]:
    """`run.evaluate` of the table, read and predicted in pieces where it is larger than what is scored at once.

    Raises UserError as `Run.evaluate`.
    """
    options = read_options(run.config, run.inputs)
    scan = None if run.config.data else open_scan(table, options=options)
    needs_all = run.config.on_bad_row == "drop" or not {"image", "words"}.isdisjoint(
        run.inputs.by_name
    )
    if scan is None or scan.num_rows <= PART_ROWS or needs_all:
        return run.evaluate(table, data=data)
    spool, counts, notes = Spool(scan.num_rows), None, {}
    first = 0
    for piece in scan.batches(scan.names, _PIECE_ROWS):
        read = read_table(piece, options=options)
        known = with_lacking_labels(run.config, read, run.inputs, run.targets)
        encoder = RowEncoder(known.config, run.inputs, run.targets)
        row_B = np.arange(first, first + read.num_rows)
        batch, labelled = encoder.encode(known.table, row_B, with_groups=True)
        with borrowed():
            predictions = predict(run.model, batch, precision=run.config.precision)
        spool.add(run.tasks, predictions, batch)
        counts, notes = added_counts(counts, labelled), dict(known.notes)
        first += read.num_rows
    return spool.score(
        intervals=run.config.intervals, notes={**unknown_classes(counts or ()), **notes}
    )


def _as_table(predictions: object) -> pa.Table:
    assert isinstance(predictions, pa.Table)
    return predictions
