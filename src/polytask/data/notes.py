"""What was changed in a column while it was read, in words that travel with the table.

A note lies in the metadata of Arrow's field, which slices, selections and appended columns keep.
"""

import pyarrow as pa

_KEY = b"polytask.note"


def with_note(field: pa.Field, note: str) -> pa.Field:
    """The field with a note, if it is not empty, added to those that it has."""
    old = note_of(field)
    if not note:
        return field
    return field.with_metadata({_KEY: (f"{old}; {note}" if old else note).encode()})


def note_of(field: pa.Field) -> str:
    """The field's notes, or an empty text."""
    return str((field.metadata or {}).get(_KEY, b"").decode())


def notes_of(table: pa.Table) -> tuple[str, ...]:
    """One line a column that was changed, in the table's order."""
    return tuple(f"{field.name}: {note_of(field)}" for field in table.schema if note_of(field))
