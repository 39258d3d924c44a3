"""Small files as text and as JSON: what is damaged or hostile is one message, at little cost."""

import json
import math
from pathlib import Path
from typing import NoReturn

from polytask.errors import UserError

_LOWEST, _HIGHEST = -(1 << 63), (1 << 64) - 1
_MOST_DIGITS = 20


class DamagedFileError(UserError):
    """The content is not what a file of this name holds."""


def read_text(path: Path, *, most_bytes: int | None = None) -> str:
    """The text of a file in UTF-8; DamagedFileError where it is none, or larger than such files are."""
    if most_bytes is not None and path.stat().st_size > most_bytes:
        raise DamagedFileError(
            f"{path}: {path.stat().st_size:,} bytes; a file of this kind has at most {most_bytes:,}"
        )
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"{path}: this is no text: {error}") from error


def parse_json(text: str, *, where: str) -> object:
    """The values of a JSON text, all of them finite; DamagedFileError, which `where` begins.

    >>> parse_json('{"rate": 0.5}', where="metrics.json")
    {'rate': 0.5}
    """
    try:
        values: object = json.loads(
            text, parse_constant=_refuse, parse_float=_finite, parse_int=_of_64_bits
        )
        if "\\u" in text:
            # Half a character is no text: nothing could print or write it.
            json.dumps(values, ensure_ascii=False).encode()
    except RecursionError as error:
        raise DamagedFileError(f"{where}: this JSON is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise DamagedFileError(f"{where}: a text in it is no Unicode: {error.reason}") from error
    except ValueError as error:
        raise DamagedFileError(f"{where}: this is no JSON: {error}") from error
    return values


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:_MOST_DIGITS]} is beyond the largest number")
    return value


def _of_64_bits(text: str) -> int:
    if len(text) > _MOST_DIGITS or not _LOWEST <= int(text) <= _HIGHEST:
        raise ValueError(f"{text[:_MOST_DIGITS]}... has more than 64 bits")
    return int(text)
