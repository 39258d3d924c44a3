"""--where: the rows of a table that a formula holds for."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from polytask.columns.required import require_names
from polytask.columns.values import told
from polytask.data.derive import Derivation
from polytask.data.derive.grammar import read_formula
from polytask.data.derive.necessary import necessary
from polytask.data.options import ReadOptions
from polytask.data.readers import read_table, require_columns
from polytask.data.scans import Scan
from polytask.errors import UserError, flag
from polytask.fitting.preparing.encoding import apply_derivations, derived_from


def matching(table: pa.Table, where: str | None) -> pa.Table:
    """The rows of a table with its derived columns; where the formula is missing, a row is left out.

    UserError for a formula that is no yes or no, that no row meets, or of columns that there are not.
    """
    if where is None:
        return table
    kept = table.filter(_mask(table, where))
    if not kept.num_rows:
        raise UserError(f"{flag('where', where)}: no row of {told(table.num_rows, 'row')} meets it")
    return kept


def matching_scan(
    scan: Scan, where: str | None, derivations: Sequence[Derivation], options: ReadOptions
) -> Scan:
    """The same of a table in pieces: its rows are counted in a pass over the columns of the formula.

    Of files, stretches whose own figures say that no row meets it are not read.
    """
    if where is None:
        return scan
    names = [*(name.strip() for name in scan.names), *(each.name for each in derivations)]
    require_names(names, read_formula(where).columns, flag("where", where))
    needed = derived_from(derivations, frozenset(read_formula(where).columns))
    own = [name for name in scan.names if name.strip() in needed]
    used = [each for each in derivations if each.name in needed]

    read = _narrowed(scan, where, derivations)

    def pieces(columns: Sequence[str]) -> Iterator[pa.Table]:
        for piece in read.pieces([*columns, *(name for name in own if name not in columns)]):
            known = apply_derivations(read_table(piece.select(own), options=options), used)
            yield piece.filter(_mask(known, where)).select(list(columns))

    num_rows = sum(piece.num_rows for piece in pieces(own))
    if not num_rows:
        raise UserError(f"{flag('where', where)}: no row of {told(scan.num_rows, 'row')} meets it")
    return replace(scan, pieces=pieces, num_rows=num_rows)


def _narrowed(scan: Scan, where: str, derivations: Sequence[Derivation]) -> Scan:
    if scan.narrowed is None or scan.schema is None:
        return scan
    condition = necessary(where, scan.schema, derived=[each.name for each in derivations])
    return scan if condition is None else scan.narrowed(condition)


def _mask(table: pa.Table, where: str) -> pa.ChunkedArray:
    formula = read_formula(where)
    require_columns(table, formula.columns, flag("where", where))
    try:
        mask = formula.evaluate(table)
    except UserError as error:
        raise UserError(f"{flag('where', where)}: {error.message}") from error
    if not pa.types.is_boolean(mask.type):
        raise UserError(f"{flag('where', where)}: a comparison is due, such as country == 'DE'")
    return mask
