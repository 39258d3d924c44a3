"""Predictions for tables larger than memory: a piece is read, predicted and handed on."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from polytask.data.readers import open_scan
from polytask.fitting.preparing.encoding import inputs_made_from, read_options
from polytask.fitting.run_folder.run import Run

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


def _as_table(predictions: object) -> pa.Table:
    assert isinstance(predictions, pa.Table)
    return predictions
