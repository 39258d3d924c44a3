"""YAML texts: read by one loader, after a look at their events that costs little."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from polytask.errors import UserError

if TYPE_CHECKING:
    from ruamel.yaml.error import YAMLError

MOST_BYTES = 1 << 18
"""Some ten thousand columns by name; the parser needs seconds for more."""

MOST_DEPTH = 30
"""Wrappers of wrappers of balancers are five deep."""


def load_yaml(text: str, *, where: str, places: bool = False) -> object:
    """The values of a YAML text; `places`: in mappings that know line and column.

    UserErrors, which begin with `where:line:column`: no YAML, too long, too deep, and aliases: with
    those a few hundred bytes stand for billions of values.

    >>> load_yaml("epochs: 3", where="run.yaml")
    {'epochs': 3}
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if len(text) > MOST_BYTES:
        raise UserError(
            f"{where}: {len(text):,} characters of YAML; at most {MOST_BYTES:,} are read"
        )
    kind: Literal["rt", "safe"] = "rt" if places else "safe"
    try:
        for line, column, what in _refused(text):
            raise UserError(f"{where}:{line + 1}:{column + 1}: {what}")
        values: object = YAML(typ=kind, pure=True).load(text)
    except UserError:
        raise
    except YAMLError as error:
        raise UserError(_in_words(error, where)) from error
    # The parser raises errors of Python's own as well: a date that is none, a number too long.
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise UserError(f"{where}: this YAML holds a value that cannot be read: {error}") from error
    return values


def _refused(text: str) -> Iterator[tuple[int, int, str]]:
    """Line, column and reason of what no file needs."""
    from ruamel.yaml import YAML
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        depth += isinstance(event, CollectionStartEvent)
        depth -= isinstance(event, CollectionEndEvent)
        place = event.start_mark.line, event.start_mark.column
        if isinstance(event, AliasEvent):
            yield *place, f"the alias *{event.anchor} is not read: write the value once more"
        if depth > MOST_DEPTH:
            yield *place, f"values are nested more than {MOST_DEPTH} deep"


def _in_words(error: "YAMLError", where: str) -> str:
    from ruamel.yaml.error import MarkedYAMLError

    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark is not None else where
    words = (error.problem or error.context) if isinstance(error, MarkedYAMLError) else None
    return f"{place}: {words or ' '.join(str(error).split())}"
