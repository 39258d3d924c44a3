"""A name with options -> an object, checked against the signature of what makes it."""

import inspect
from collections.abc import Mapping, Sequence
from typing import TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError
from torch import nn

from polytask.config.spellings import Options
from polytask.errors import UserError, nearest, nearest_of_all

Found = TypeVar("Found")


def name_and_options(spec: Options, what: str) -> tuple[str, dict[str, object]]:
    """A name alone, or with the other keys of its mapping."""
    if isinstance(spec, str):
        return spec, {}
    options = dict(spec)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise UserError(f"{what}: a mapping needs a name, such as {{name: mmoe, num_experts: 8}}")
    return name, options


def look_up(registry: Mapping[str, type[Found]], name: str, what: str) -> type[Found]:
    """The class of that name; UserError with the nearest one otherwise."""
    key = name.lower().replace("-", "_")
    if key not in registry:
        raise UserError(f"unknown {what} {name!r}{nearest_of_all(key, registry)}")
    return registry[key]


def construct(
    kind: type[Found], what: str, options: Mapping[str, object], supplied: Mapping[str, object]
) -> Found:
    """Call `kind` with checked options: names and types are those of its own signature."""
    parameters = inspect.signature(kind).parameters
    hints = get_type_hints(kind.__init__)
    own = [name for name in parameters if name not in supplied]
    checked: dict[str, object] = {k: v for k, v in supplied.items() if k in parameters}
    checked |= check_options(what, options, own=own, hints=hints)
    needed = [name for name in own if parameters[name].default is inspect.Parameter.empty]
    named = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    missing = [n for n in needed if n not in checked and parameters[n].kind not in named]
    if missing:
        raise UserError(f"{what}: it needs {', '.join(missing)}: {{name: ..., {missing[0]}: ...}}")
    try:
        return kind(**checked)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        # Of a size that no memory holds torch speaks with a trace of C++ behind the first line.
        raise UserError(f"{what}: {str(error).partition(chr(10))[0]}") from error


def check_options(
    what: str,
    options: Mapping[str, object],
    *,
    own: Sequence[str],
    hints: Mapping[str, type[object]],
) -> dict[str, object]:
    """The options as values of their types; `own` are those that there are."""
    for key in options:
        if key not in own:
            hint = nearest(key, own) if own else " - it takes no options"
            raise UserError(f"{what} has no option {key!r}{hint}")
    return {
        k: _check_option(f"{what}: {k}", value, hints.get(k, object))
        for k, value in options.items()
    }


def _check_option(what: str, value: object, hint: type[object]) -> object:
    if isinstance(value, nn.Module):
        return value
    try:
        adapter: TypeAdapter[object] = TypeAdapter(hint)
        return adapter.validate_python(value)
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise UserError(f"{what}: {message[:1].lower()}{message[1:]}, but got {value!r}") from error
