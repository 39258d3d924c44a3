"""Whether a table is read into memory, or encoded onto disk."""

from collections.abc import Mapping

import torch

from polytask.balancing import Ranks
from polytask.config import FitConfig
from polytask.config.presets import with_preset
from polytask.data.readers import TableSource, names_of_files, open_scan
from polytask.data.scans import Scan
from polytask.errors import UserError
from polytask.fitting.preparing.encoding import read_options
from polytask.fitting.preparing.prepare import Prepared, prepare
from polytask.fitting.preparing.seen import with_files
from polytask.fitting.processes.torchrun import is_first, raise_on_all
from polytask.fitting.sizes import memory_of
from polytask.fitting.storing.preparing import prepare_on_disk

_BYTES_A_VALUE = 15
"""What a value of a table takes while it is prepared in memory: 270 to 390 bytes for 21 columns."""
_SHARE_OF_MEMORY = 0.5


def prepare_table(
    config: FitConfig,
    table: TableSource | None = None,
    *,
    parts: Mapping[str, TableSource] | None = None,
) -> Prepared:
    """`prepare`, on disk where --on-disk says so, or where the table would fill half of the memory.

    Raises UserError as `prepare` does, and for a format that is not read in pieces.
    """
    source = table if table is not None else config.table
    if source is None or config.data:
        return prepare(config, table, parts=parts)
    scan, is_for_disk = _scanned(config, source)
    if scan is not None and is_for_disk:
        prepared = prepare_on_disk(with_preset(config), scan, named=parts or {})
    else:
        prepared = prepare(config, table, parts=parts)
    return with_files(prepared, scan.files if scan and scan.files else names_of_files(source))


def prepare_on_ranks(
    config: FitConfig,
    table: TableSource | None,
    *,
    parts: Mapping[str, TableSource],
    ranks: Ranks | None,
) -> Prepared:
    """The same on every process of several; the first one encodes what goes to disk, the others open it."""

    def is_for_all() -> bool:
        source = table if table is not None else config.table
        return source is None or bool(config.data) or not _scanned(config, source)[1]

    def prepared() -> Prepared:
        return prepare_table(config, table, parts=parts)

    if ranks is None or raise_on_all(ranks, is_for_all):
        return raise_on_all(ranks, prepared)
    first = raise_on_all(ranks, lambda: prepared() if is_first(ranks) else None)
    return raise_on_all(ranks, lambda: first or prepared())


def _scanned(config: FitConfig, source: TableSource) -> tuple[Scan | None, bool]:
    """The table in pieces, where it can be read so, and whether it is to be on disk."""
    if config.on_disk == "never":
        return None, False
    scan = open_scan(source, options=read_options(config))
    if config.on_disk == "always":
        if scan is None:
            raise UserError(
                "--on-disk=always is for Parquet: text has no types before all of it is read. "
                'Convert it once: python -c "import pyarrow.csv as c, pyarrow.parquet as p; '
                "t = c.open_csv('IN.csv'); w = p.ParquetWriter('OUT.parquet', t.schema); "
                '[w.write_batch(b) for b in t]; w.close()"'
            )
        return scan, True
    return scan, scan is not None and bool(scan.fingerprint()) and _is_large(scan)


def _is_large(scan: Scan) -> bool:
    there = memory_of(torch.device("cpu"))
    needed = _BYTES_A_VALUE * len(scan.names) * scan.num_rows
    return there is not None and needed > _SHARE_OF_MEMORY * there
