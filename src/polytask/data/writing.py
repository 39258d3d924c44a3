"""Tables -> files, in the format that the file's name says."""

from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

from polytask.errors import UserError

TableFormat = Literal["parquet", "csv", "arrow"]

_FORMATS: dict[str, TableFormat] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".arrow": "arrow",
    ".feather": "arrow",
}


def table_format(path: Path) -> TableFormat:
    """The format that the extension says; UserError for any other one."""
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise UserError(
            f"{path}: {path.suffix or 'a name without an extension'} is not a format that is written;"
            f" these are: {', '.join(_FORMATS)}"
        )
    return found


def write_table(table: pa.Table, path: Path) -> None:
    """Write the table; UserError where the format cannot hold a column."""
    match table_format(path):
        case "parquet":
            pq.write_table(table, path)
        case "arrow":
            pyarrow.feather.write_feather(table, str(path), compression="uncompressed")
        case "csv":
            for field in table.schema:
                if pa.types.is_nested(field.type):
                    raise UserError(
                        f"{path}: column {field.name!r} ({field.type}) has no place in a CSV file; "
                        "write .parquet"
                    )
            pyarrow.csv.write_csv(table, path)
