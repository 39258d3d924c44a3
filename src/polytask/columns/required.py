"""Columns that a table must have."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from polytask.errors import UserError, nearest


def require_columns(table: pa.Table, names: Iterable[str], what: str) -> None:
    """Raise UserError naming every column that the table lacks, each with the nearest name.

    `what` says in whose name they are asked for: "the tasks", "--group".
    """
    require_names(table.column_names, names, what)


def require_names(known: Sequence[str], names: Iterable[str], what: str) -> None:
    """The same of the names of a table's columns."""
    present = set(known)
    missing = [name for name in dict.fromkeys(names) if name not in present]
    if not missing:
        return
    told = "; ".join(f"{name!r}{nearest(name, known)}" for name in missing)
    noun = "a column" if len(missing) == 1 else f"{len(missing)} columns"
    raise UserError(f"{what}: the table lacks {noun}: {told}")
