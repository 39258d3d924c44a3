"""The options of `fit` and `inspect`, made from FitConfig's fields: each is written once."""

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from polytask.choices import KIND_NAMES, RULE_NAMES, TRUNK_NAMES, WRAPPER_NAMES
from polytask.config import FitConfig, read_config, validate_config
from polytask.errors import UserError

_REPEATED = {"tasks": "--task", "derive": "--derive", "transform": "--transform"} | {
    "given": "--given",
    "weight": "--weight",
    "columns": "--columns",
}
_POSITIONAL = "table"
_COLUMN_OPTIONS = (
    *("tasks", "inputs", "ignore", "categorical", "numeric", "columns", "text", "missing"),
    *("decimal", "encoding", "after", "derive"),
)


def with_fit_options(command: Callable[[Mapping[str, object]], None]) -> Callable[..., None]:
    """The command with one option a field of FitConfig, --config and --resume; it gets all."""
    resume = typer.Option(
        "--resume",
        metavar="RUN",
        help="Resume an interrupted run; of the other options only --threads may be given.",
        show_default=False,
        rich_help_panel=_OTHER,
    )
    option = _keyword("resume", Annotated[Path | None, resume])
    return _with_options(command, tuple(FitConfig.model_fields), option)


def with_column_options(command: Callable[[Mapping[str, object]], None]) -> Callable[..., None]:
    """The command with the options that say what columns are."""
    return _with_options(command, (_POSITIONAL, *_COLUMN_OPTIONS))


def config_from(options: Mapping[str, object]) -> FitConfig:
    """--config's file, with the options that were given put over it."""
    given = {k: v for k, v in _given(options).items() if k != "config"}
    path = options.get("config")
    if path is None:
        return validate_config(given, from_text=True)
    # A file may come from a stranger, and its `out` name a run of one's own: only the command line
    # says that a run may go.
    base = read_config(Path(str(path))).model_copy(update={"overwrite": False})
    over = validate_config(given, from_text=True)
    return base.model_copy(update={key: getattr(over, key) for key in over.model_fields_set})


def resumed_from(options: Mapping[str, object]) -> tuple[Path, int | None] | None:
    """The run of --resume and its --threads; None where a new run is asked for."""
    given = _given(options)
    path = given.pop("resume", None)
    if path is None:
        return None
    threads = validate_config(
        {k: v for k, v in given.items() if k == "threads"}, from_text=True
    ).threads
    others = [_flag(name) for name in given if name != "threads"]
    if others:
        raise UserError(
            f"--resume {path} takes everything from {path}/run.yaml: leave out {', '.join(others)}; "
            "only --threads may stand beside it"
        )
    return Path(str(path)), threads


def _given(options: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in options.items() if value not in (None, (), [])}


def _with_options(
    command: Callable[[Mapping[str, object]], None],
    names: Collection[str],
    *further: inspect.Parameter,
) -> Callable[..., None]:
    def wrapped(**options: object) -> None:
        command(options)

    parameters = [_parameter(name, FitConfig.model_fields[name]) for name in names]
    parameters.append(
        _keyword(
            "config",
            Annotated[
                Path | None,
                typer.Option(
                    "--config",
                    metavar="FILE",
                    help="YAML file of options, such as a run's run.yaml; those given beside it win.",
                    rich_help_panel=_OTHER,
                ),
            ],
        )
    )
    parameters.extend(further)
    signature = inspect.Signature(parameters)
    wrapped.__signature__ = signature  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
    return wrapped


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    if name == _POSITIONAL:
        help_text = field.description
        table = Annotated[
            Path | None,
            typer.Argument(
                metavar="TABLE",
                help=help_text,
                show_default=False,
                rich_help_panel=_panel(name),
            ),
        ]
        return _keyword(name, table)
    flag = _flag(name)
    if field.annotation is bool:
        flag = f"{flag}/--no-{flag[2:]}" if field.default else flag
        kind: object = bool | None
    else:
        kind = list[str] | None if name in _REPEATED else str | None
    option = typer.Option(
        flag,
        help=_help(name, field),
        metavar=_metavar(name, field),
        show_default=False,
        rich_help_panel=_panel(name),
    )
    return _keyword(name, Annotated[kind, option])


def _flag(name: str) -> str:
    return "TABLE" if name == _POSITIONAL else _REPEATED.get(name, f"--{name.replace('_', '-')}")


def _keyword(name: str, annotation: object) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _help(name: str, field: FieldInfo) -> str:
    """What the option means, the names that it takes, and [its default]."""
    default = field.get_default(call_default_factory=True)
    empty = default is None or default in ((), {}) or default is False
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    further = "comma-separated" if _METAVARS.get(name) == "COLUMNS" else _NAMES.get(name, "")
    parts = (field.description, further and f"({further})", "" if empty else f"[{shown}]")
    return " ".join(part for part in parts if part)


def _metavar(name: str, field: FieldInfo) -> str | None:
    if field.annotation is bool:
        return None
    choices = get_args(field.annotation) if get_origin(field.annotation) is not None else ()
    if choices and all(isinstance(choice, str) for choice in choices):
        return "|".join(choices)
    by_type: dict[object, str] = {int: "N", float: "X", int | None: "N", float | None: "X"}
    return by_type.get(field.annotation, _METAVARS.get(name, "TEXT"))


_METAVARS = {
    "tasks": "TASK",
    "test": "TABLE",
    "valid": "TABLE",
    "out": "FOLDER",
    "init_from": "RUN",
    "trunk": "NAME",
    "balancer": "NAME",
    "group": "COLUMN",
    "split_by": "COLUMN",
    "time_column": "COLUMN",
    "hidden": "N,N",
    "expert_hidden": "N,N",
    "tower_hidden": "N,N",
    "device": "NAME",
    "missing": "WORDS",
    "decimal": "SIGN",
    "encoding": "NAME",
} | dict.fromkeys(
    ("inputs", "ignore", "categorical", "numeric", "text", "after", "allow"), "COLUMNS"
)

_NAMES = {
    "tasks": f"KIND: {', '.join(KIND_NAMES)}",
    "trunk": ", ".join(TRUNK_NAMES),
    "balancer": f"{', '.join(RULE_NAMES)}; around others: {', '.join(WRAPPER_NAMES)}",
}

_OTHER = "Other"
_PANELS = {
    "inputs": "Columns",
    "transform": "Labels",
    "valid_fraction": "Splits",
    "min_count": "Inputs",
    "trunk": "Model",
    "balancer": "Balancing",
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
