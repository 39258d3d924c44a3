"""Columns of the paths of files, which lie beside the table that names them."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa

from polytask.columns.values import is_text, value_type


def with_whole_paths(table: pa.Table, names: Collection[str], folder: Path) -> pa.Table:
    """The table with relative paths of these columns made paths from `folder`.

    >>> table = pa.table({"photo": ["a.png", None, "/x/b.png"]})
    >>> with_whole_paths(table, ["photo"], Path("/data"))["photo"].to_pylist()
    ['/data/a.png', None, '/x/b.png']
    """
    for name in names:
        place = table.schema.get_field_index(name)
        if place < 0 or not is_text(value_type(table[name].type)):
            continue
        paths = [None if path is None else str(folder / path) for path in table[name].to_pylist()]
        field = table.schema.field(place).with_type(pa.large_string())
        table = table.set_column(place, field, pa.chunked_array([pa.array(paths, field.type)]))
    return table
