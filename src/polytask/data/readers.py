"""Files and frames -> one Arrow table, and clear words where that fails.

What comes out is normalised: names are unique, there is a row unless none is needed, text that is numbers is
numbers, and NaN and words for missing have become null, so that "missing" has one spelling.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from polytask.columns.required import require_columns as require_columns
from polytask.columns.required import require_names
from polytask.data.files import reading
from polytask.data.normalise import normalised, with_whole_numbers
from polytask.data.notes import with_note
from polytask.data.options import ReadOptions
from polytask.data.sources import TableSource as TableSource
from polytask.data.sources import name_of, open_source
from polytask.data.text_columns import with_values_of_text
from polytask.errors import UserError

_AS_WRITTEN = ReadOptions()


def read_table(
    source: TableSource,
    *,
    columns: Sequence[str] | None = None,
    options: ReadOptions = _AS_WRITTEN,
    may_be_empty: bool = False,
) -> pa.Table:
    """Read a Parquet file or folder, a CSV, TSV or Arrow file, or a frame, into one table.

    columns: read these alone, in this order. Low-cardinality text of a file comes out
    dictionary-encoded (a fifth of the memory). A pandas index is no column. Text that is numbers
    becomes numbers, and words for missing become null (see `with_values_of_text`); `notes_of` the
    table tells what was changed.
    Raises UserError for everything that can be wrong with a file.
    """
    where = name_of(source)
    with reading(where):
        opened = open_source(source, options)
        _check_names(opened.names, where)
        raw_names = _stripped(opened.names)
        if columns is not None:
            require_names(list(raw_names), columns, where)
        names = list(raw_names if columns is None else columns)
        table = opened.read([raw_names[name] for name in names])
    if table.num_rows == 0 and not may_be_empty:
        raise UserError(f"{where}: the table has no rows")
    declared = {name for name in names if raw_names[name] in opened.declared}
    table = normalised(table.rename_columns(names))
    options = replace(options, decimal=options.decimal or opened.decimal)
    table = with_values_of_text(table, options, declared=declared)
    return _with_names_noted(with_whole_numbers(table), raw_names)


def _check_names(names: Sequence[str], where: str) -> None:
    if not names:
        raise UserError(f"{where}: the table has no columns")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if not repeated:
        return
    told = ", ".join(repr(name) for name in repeated[:5])
    hint = ""
    if any(name.strip().lstrip("-").replace(".", "", 1).isdigit() for name in repeated):
        hint = " (numbers as names: does the file lack a header line?)"
    raise UserError(f"{where}: duplicate column names: {told}{hint}; rename them in the file")


def _stripped(names: Sequence[str]) -> dict[str, str]:
    """Each name without spaces around it -> the name as it stands there; both if two would be one."""
    counts = Counter(name.strip() for name in names)
    return {name.strip() if counts[name.strip()] == 1 else name: name for name in names}


def _with_names_noted(table: pa.Table, raw_names: Mapping[str, str]) -> pa.Table:
    for position, field in enumerate(table.schema):
        raw = raw_names[field.name]
        if raw != field.name:
            noted = with_note(field, f"the name had spaces around it: {raw!r}")
            table = table.set_column(position, noted, table[position])
    return table
