"""A record <-> JSON: one object with the dataclass's fields, after its format and version."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from polytask.files.reading import DamagedFileError, parse_json

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

VERSION = 1


class Recorded(Protocol):
    """A dataclass that is kept as JSON under the name of its format."""

    FORMAT: ClassVar[str]


Record = TypeVar("Record", bound=Recorded)


def to_json(record: Recorded, *, indent: int | None = None) -> str:
    """The record as JSON; ValueError where a number outside of a mapping is not finite."""
    header = {"format": record.FORMAT, "version": VERSION}
    return json.dumps(header | _fields(record), indent=indent, allow_nan=False)


def from_json(text: str, *kinds: type[Record], where: str) -> Record:
    """The record, of that of the `kinds` which the text names; errors begin with `where`."""
    from pydantic import ValidationError

    kind = _kind_of(text, kinds, where)
    try:
        record: Record = _adapter(kind).validate_json(text, strict=True)
        return record
    except ValidationError as error:
        raise DamagedFileError(f"{where}: {_first(error)}") from error


def _kind_of(text: str, kinds: tuple[type[Record], ...], where: str) -> type[Record]:
    values = parse_json(text, where=where)
    by_format = {kind.FORMAT: kind for kind in kinds}
    found = values.get("format") if isinstance(values, dict) else None
    if not isinstance(values, dict) or not isinstance(found, str) or found not in by_format:
        names = " or ".join(repr(name) for name in by_format)
        raise DamagedFileError(f"{where}: this is no record of polytask's: no format {names}")
    if values.get("version") != VERSION:
        raise DamagedFileError(
            f"{where}: version {values.get('version')!r} of the format; this polytask reads {VERSION}"
        )
    return by_format[found]


@cache
def _adapter(kind: type[Record]) -> "TypeAdapter[Record]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _fields(record: object) -> dict[str, object]:
    assert is_dataclass(record)
    return {field.name: _plain(getattr(record, field.name)) for field in fields(record)}


def _plain(value: object) -> object:
    """Dataclasses as objects, tuples as lists, and mappings without what is not finite."""
    if is_dataclass(value):
        return _fields(value)
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items() if _is_known(v)}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _is_known(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _first(error: "ValidationError") -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"this is no record of polytask's: {where}: {first['msg']}"
