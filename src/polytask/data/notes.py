"""What was changed in a column while it was read, in words that travel with the table.

A note lies in the metadata of Arrow's field, which slices, selections and appended columns keep.
"""

import pyarrow as pa

from polytask.choices import DATE_ORDERS, DateOrder

_NOTE = b"polytask.note"
_ORDER = b"polytask.date_order"


def with_note(field: pa.Field, note: str) -> pa.Field:
    """The field with a note, if it is not empty, added to those that it has."""
    old = note_of(field)
    return _with(field, _NOTE, f"{old}; {note}" if old else note) if note else field


def note_of(field: pa.Field) -> str:
    """The field's notes, or an empty text."""
    return str((field.metadata or {}).get(_NOTE, b"").decode())


def notes_of(table: pa.Table) -> tuple[str, ...]:
    """One line a column that was changed, in the table's order."""
    return tuple(f"{field.name}: {note_of(field)}" for field in table.schema if note_of(field))


def with_date_order(field: pa.Field, order: DateOrder | None) -> pa.Field:
    """The field of what was text in which day, month and year stood in this order, if it was."""
    return field if order is None else _with(field, _ORDER, order)


def date_orders_of(table: pa.Table) -> dict[str, DateOrder]:
    """The orders in which the columns that were text had their dates."""
    found = {field.name: (field.metadata or {}).get(_ORDER, b"").decode() for field in table.schema}
    return {name: order for name, text in found.items() for order in DATE_ORDERS if order == text}


def _with(field: pa.Field, key: bytes, text: str) -> pa.Field:
    return field.with_metadata({**(field.metadata or {}), key: text.encode()})
