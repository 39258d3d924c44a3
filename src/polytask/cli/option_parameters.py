"""A field of FitConfig -> an option of a command: its flag, its meaning, what stands for its value."""

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import typer
from pydantic.fields import FieldInfo

from polytask.choices import AUXILIARY_NAMES, KIND_NAMES, RULE_NAMES, TRUNK_NAMES, WRAPPER_NAMES
from polytask.config import FitConfig, spellings
from polytask.config.fields import description, shown_default

_REPEATED = {"tasks": "--task", "derive": "--derive", "transform": "--transform"} | {
    "given": "--given",
    "weight": "--weight",
    "columns": "--columns",
    "data": "--data",
    "auxiliary": "--auxiliary",
}
POSITIONAL = "table"
"""The field that has no flag."""


def with_options(
    command: Callable[[Mapping[str, object]], None],
    names: Collection[str],
    *further: inspect.Parameter,
) -> Callable[..., None]:
    """The command with an option for each named field, --config, and further ones; it gets their values by name."""

    def wrapped(**options: object) -> None:
        command(options)

    config = further_option(
        "config",
        Path | None,
        "YAML file of options, such as a run's run.yaml; those given beside it win.",
        metavar="FILE",
    )
    parameters = [_parameter(name, FitConfig.model_fields[name]) for name in names]
    parameters += [config, *further]
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
    return wrapped


def further_option(
    name: str, kind: object, meaning: str, *, metavar: str | None = None, panel: str = "Other"
) -> inspect.Parameter:
    """An option that is no field: a `_` at the end of its name keeps it from being a word of Python's."""
    option = typer.Option(
        f"--{name.rstrip('_').replace('_', '-')}",
        help=meaning,
        metavar=metavar,
        show_default=False,
        rich_help_panel=panel,
    )
    return _keyword(name, Annotated[kind, option], default=False if kind is bool else None)


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    panel = _panel(name)
    if name == POSITIONAL:
        table = typer.Argument(
            metavar="TABLE",
            help=description(field),
            show_default=False,
            rich_help_panel=panel,
        )
        return _keyword(name, Annotated[Path | None, table])
    flag = flag_of(name)
    kind: object = list[str] | None if name in _REPEATED else str | None
    if field.annotation in (bool, _BY_THE_ROWS):
        flag = flag if field.default is False else f"{flag}/--no-{flag[2:]}"
        kind = bool | None
    option = typer.Option(
        flag,
        help=_help(name, field),
        metavar=_metavar(name),
        show_default=False,
        rich_help_panel=panel,
    )
    return _keyword(name, Annotated[kind, option])


def flag_of(name: str) -> str:
    """How the command line spells a field."""
    return "TABLE" if name == POSITIONAL else _REPEATED.get(name, f"--{name.replace('_', '-')}")


def _keyword(name: str, annotation: object, *, default: object = None) -> inspect.Parameter:
    place = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, place, default=default, annotation=annotation)


def _help(name: str, field: FieldInfo) -> str:
    """What the option means, the names that it takes, and [its default]."""
    further = "comma-separated" if _metavar(name) == "COLUMNS" else _NAMES.get(name, "")
    parts = (description(field), further and f"({further})", shown_default(field))
    return " ".join(part for part in parts if part)


def _metavar(name: str) -> str | None:
    """What stands for the value: choices, or what the option or its type takes."""
    kind = _TYPES[name]
    if kind in (bool, _BY_THE_ROWS):
        return None
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    plain = kind.__args__[0] if NoneType in get_args(kind) else kind
    word = next((word for each, word in _BY_TYPE if plain == each), "TEXT")
    return _BY_NAME.get(name, _NUMBERS.get(getattr(plain, "__origin__", plain), word))


_BY_THE_ROWS = bool | None
_TYPES = get_type_hints(FitConfig, include_extras=True)
_BY_NAME = {"tasks": "TASK", "out": "FOLDER", "init_from": "RUN", "trunk": "NAME"} | {
    "balancer": "NAME",
    "auxiliary": "NAME",
    "pretrain": "NAMES",
    "device": "NAME",
    "encoding": "NAME",
    "decimal": "SIGN",
    "data": "NAME=TABLE",
    "shares": "SHARES",
    "forget": "DAYS",
}
_BY_TYPE = (
    (spellings.Location, "TABLE"),
    (spellings.Names, "COLUMNS"),
    (spellings.Name, "COLUMN"),
    (spellings.Widths, "N,N"),
    (spellings.Words, "WORDS"),
)
_NUMBERS = {int: "N", float: "X"}

_NAMES = {
    "tasks": f"KIND: {', '.join(KIND_NAMES)}",
    "trunk": ", ".join(TRUNK_NAMES),
    "balancer": f"{', '.join(RULE_NAMES)}; around others: {', '.join(WRAPPER_NAMES)}",
    "auxiliary": ", ".join(AUXILIARY_NAMES),
}

_PANELS = {
    "inputs": "Columns",
    "transform": "Labels",
    "valid_fraction": "Splits",
    "min_count": "Inputs",
    "preset": "Model",
    "balancer": "Balancing",
    "auxiliary": "Auxiliary",
    "epochs": "Training",
    "baseline": "What comes out",
}


def _panel(name: str) -> str:
    """The heading under which an option stands: that of the nearest field above with one."""
    panel = "What is read"
    for field in FitConfig.model_fields:
        panel = _PANELS.get(field, panel)
        if field == name:
            break
    return panel
