"""Frozen dataclasses to JSON and back, with a format's name and version."""

import json
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from polytask.errors import UserError

Fact = TypeVar("Fact")


def to_record(
    adapter: TypeAdapter[Fact], fact: Fact, *, format_name: str, version: int
) -> dict[str, object]:
    """The dataclass as plain JSON values, with format and version in front."""
    try:
        fields: dict[str, object] = adapter.dump_python(fact, mode="json")
    except PydanticSerializationError as error:
        raise error.__cause__ or error from None
    return {"format": format_name, "version": version, **fields}


def from_record(
    adapter: TypeAdapter[Fact], record: object, *, format_name: str, version: int
) -> Fact:
    """The dataclass of `to_record`; a foreign, newer or damaged record is a UserError."""
    if not isinstance(record, dict) or record.get("format") != format_name:
        found = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise UserError(f"this is no {format_name!r} record: its format is {found!r}")
    written = record.get("version")
    if written != version:
        raise UserError(
            f"this {format_name!r} record has version {written!r}, but this polytask reads "
            f"version {version}: use the polytask that wrote it, or a newer one"
        )
    fields = {key: value for key, value in record.items() if key not in ("format", "version")}
    try:
        # Through JSON text, because only there does strict validation take lists for tuples.
        return adapter.validate_json(json.dumps(fields), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"damaged {format_name!r} record: {where}: {first['msg']}") from error
