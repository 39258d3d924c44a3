"""The options of `fit` and `inspect`, made from FitConfig's fields: each is written once."""

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import typer
from pydantic.fields import FieldInfo

from polytask.choices import AUXILIARY_NAMES, KIND_NAMES, RULE_NAMES, TRUNK_NAMES, WRAPPER_NAMES
from polytask.cli.study_list import STUDY_OPTIONS
from polytask.config import FitConfig, read_config, spellings, validate_config
from polytask.config.fields import description, shown_default
from polytask.errors import UserError
from polytask.records.transfer import TransferOptions

_REPEATED = {"tasks": "--task", "derive": "--derive", "transform": "--transform"} | {
    "given": "--given",
    "weight": "--weight",
    "columns": "--columns",
    "data": "--data",
    "auxiliary": "--auxiliary",
}
_POSITIONAL = "table"
_COLUMN_OPTIONS = (
    *("tasks", "inputs", "ignore", "categorical", "numeric", "columns", "text", "missing"),
    *("decimal", "dates", "encoding", "after", "derive"),
)


def with_fit_options(command: Callable[[Mapping[str, object]], None]) -> Callable[..., None]:
    """The command with one option a field of FitConfig, --config, --resume, --continue, --on, --workers and --verbose."""
    resume = _other_option(
        "resume",
        Path | None,
        "Resume an interrupted run; of the other options only --threads may be given.",
        metavar="RUN",
    )
    continues = _other_option(
        "continue_",
        bool,
        "Resume the run of this very command where --out holds it, else begin it.",
    )
    verbose = _other_option("verbose", bool, "Print all metrics, each with its interval.")
    on = _other_option(
        "on", str | None, "ray: train in processes of a Ray cluster.", metavar="ENGINE"
    )
    workers = _other_option("workers", int | None, "Processes of --on ray.", metavar="N")
    further = (resume, continues, on, workers, verbose)
    return _with_options(command, tuple(FitConfig.model_fields), *further)


def with_column_options(command: Callable[[Mapping[str, object]], None]) -> Callable[..., None]:
    """The command with the options that say what columns are."""
    return _with_options(command, (_POSITIONAL, *_COLUMN_OPTIONS))


def with_transfer_options(command: Callable[[Mapping[str, object]], None]) -> Callable[..., None]:
    """The command with the options of a fit, but for its baseline, and those of a study of transfer."""
    left_out = (
        *("baseline", "compare_auxiliary", "init_from", "grow", "forget", "intervals"),
        *("log_every", "checkpoint_every", "bag"),
    )
    names = [name for name in FitConfig.model_fields if name not in left_out]
    own = (
        ("budget", int | None, "N", "Most trainings, of all kinds together. [60]"),
        (
            "seeds",
            int | None,
            "N",
            "How often each set of tasks is trained; by the budget, up to 3.",
        ),
        ("rows", int | None, "N", "Train on so many rows, drawn at random; all of them if absent."),
        ("models", int | None, "N", "Most models that the recommended grouping may have."),
        ("widths", str | None, "N,N", "Also try shared layers of these widths, such as 5,50,500."),
    )
    further = [_other_option(n, kind, text, metavar=m, panel=_STUDY) for n, kind, m, text in own]
    resume = _other_option(
        "resume",
        Path | None,
        "Go on with a study that was stopped; no other option.",
        metavar="FOLDER",
    )
    return _with_options(command, names, *further, resume)


def with_study_options(command: Callable[[Mapping[str, object]], None]) -> Callable[..., None]:
    """The command with the options of a fit that all of a study share, and the study's own."""
    names = [name for name in FitConfig.model_fields if name not in _NOT_OF_A_STUDY]
    further = [
        _other_option(n, kind, text, metavar=m, panel=_COMPARISON)
        for n, (kind, m, text) in STUDY_OPTIONS.items()
    ]
    return _with_options(command, names, *further)


def transfer_options_from(options: Mapping[str, object]) -> TransferOptions:
    """--budget, --seeds, --rows, --models and --widths."""
    counts: dict[str, int | None] = {}
    for name in ("budget", "seeds", "rows", "models"):
        value = options.get(name)
        if value is not None and not (isinstance(value, int) and value >= 1):
            raise UserError(f"--{name} must be at least 1, but is {value}")
        counts[name] = value if isinstance(value, int) else None
    return TransferOptions(
        budget=counts["budget"] or TransferOptions().budget,
        seeds=counts["seeds"],
        rows=counts["rows"],
        max_models=counts["models"],
        widths=_widths(options.get("widths")),
    )


def _widths(text: object) -> tuple[int, ...]:
    parts = [part.strip() for part in str(text).split(",")] if text is not None else []
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UserError(f"--widths={text}: write whole numbers above 0, such as 5,50,500")
    return tuple(sorted({int(part) for part in parts}))


def config_from(options: Mapping[str, object]) -> FitConfig:
    """--config's file, with the options that were given put over it."""
    given, path = _given(options), options.get("config")
    over = validate_config(given, from_text=True)
    if path is None:
        return over
    # A file may come from a stranger, and its `out` name a run of one's own: only the command line
    # says that a run may go.
    base = read_config(Path(str(path))).model_copy(update={"overwrite": False})
    return base.model_copy(update={key: getattr(over, key) for key in over.model_fields_set})


def resumed_from(options: Mapping[str, object]) -> tuple[Path, int | None] | None:
    """The run of --resume and its --threads; None where a new run is asked for."""
    path = options.get("resume")
    if path is None:
        return None
    given = _given(options) | ({"config": path} if options.get("config") else {})
    others = [_flag(name) for name in given if name != "threads"]
    others += ["--continue"] if options.get("continue_") else []
    others += ["--on"] if options.get("on") else []
    if others:
        raise UserError(
            f"--resume {path} takes everything from {path}/run.yaml: leave out {', '.join(others)}; "
            "only --threads may stand beside it"
        )
    return Path(str(path)), validate_config(given, from_text=True).threads


def workers_from(options: Mapping[str, object]) -> int | None:
    """The processes of --on ray; None where it is not asked for."""
    engine, workers = options.get("on"), options.get("workers")
    if engine is None:
        if workers is not None:
            raise UserError("--workers says how many processes --on ray has: pass both")
        return None
    if engine != "ray":
        raise UserError(f"--on={engine}: the one engine is ray; torchrun starts polytask itself")
    if not isinstance(workers, int) or workers < 1:
        raise UserError("--on ray needs the number of its processes: --workers=4")
    return workers


def _given(options: Mapping[str, object]) -> dict[str, object]:
    """What was said of a configuration's fields."""
    fields = FitConfig.model_fields
    return {n: v for n, v in options.items() if n in fields and v not in (None, (), [])}


def _with_options(
    command: Callable[[Mapping[str, object]], None],
    names: Collection[str],
    *further: inspect.Parameter,
) -> Callable[..., None]:
    def wrapped(**options: object) -> None:
        command(options)

    config = _other_option(
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


def _other_option(
    name: str, kind: object, meaning: str, *, metavar: str | None = None, panel: str = "Other"
) -> inspect.Parameter:
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
    if name == _POSITIONAL:
        table = typer.Argument(
            metavar="TABLE",
            help=description(field),
            show_default=False,
            rich_help_panel=panel,
        )
        return _keyword(name, Annotated[Path | None, table])
    flag = _flag(name)
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


def _flag(name: str) -> str:
    return "TABLE" if name == _POSITIONAL else _REPEATED.get(name, f"--{name.replace('_', '-')}")


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

_STUDY = "The study of transfer"
_COMPARISON = "The study"
_NOT_OF_A_STUDY = (
    *("baseline", "init_from", "grow", "forget", "intervals", "log_every"),
    *("checkpoint_every", "balancer"),
    *("auxiliary", "pretrain", "pretrain_epochs", "pretrain_rate", "compare_auxiliary"),
    *("data", "shares", "bag"),
)
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
