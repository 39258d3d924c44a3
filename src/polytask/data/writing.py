"""Tables -> files, in the format that the file's name says."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

from polytask.errors import UserError

Writer = Callable[[pa.Table, Path], None]


def writer_of(path: Path) -> Writer:
    """What writes the format that the extension says; UserError for any other one.

    >>> writer_of(Path("scores.arrow")) is writer_of(Path("scores.feather"))
    True
    """
    found = _WRITERS.get(path.suffix.lower())
    if found is None:
        raise UserError(
            f"{path}: {path.suffix or 'a name without an extension'} is not a format that is written;"
            f" these are: {', '.join(_WRITERS)}"
        )
    return found


def _write_arrow(table: pa.Table, path: Path) -> None:
    pyarrow.feather.write_feather(table, str(path), compression="uncompressed")


def _write_csv(table: pa.Table, path: Path) -> None:
    for field in table.schema:
        if pa.types.is_nested(field.type):
            raise UserError(
                f"{path}: column {field.name!r} ({field.type}) has no place in a CSV file; "
                "write .parquet"
            )
    pyarrow.csv.write_csv(table, path)


_WRITERS: dict[str, Writer] = {
    ".parquet": pq.write_table,
    ".csv": _write_csv,
    ".arrow": _write_arrow,
    ".feather": _write_arrow,
}
