"""Which options each command has, and what their values ask for."""

from collections.abc import Callable, Mapping
from pathlib import Path

from polytask.cli.option_parameters import POSITIONAL, flag_of, further_option, with_options
from polytask.cli.study_list import STUDY_OPTIONS
from polytask.config import FitConfig, read_config, validate_config
from polytask.errors import UserError
from polytask.records.transfer import TransferOptions

_COLUMN_OPTIONS = (
    *("tasks", "inputs", "ignore", "categorical", "numeric", "columns", "text", "missing"),
    *("decimal", "dates", "encoding", "after", "derive"),
)
_STUDY = "The study of transfer"
_COMPARISON = "The study"
_NOT_OF_A_STUDY = (
    *("baseline", "init_from", "grow", "forget", "intervals", "log_every"),
    *("checkpoint_every", "balancer"),
    *("auxiliary", "pretrain", "pretrain_epochs", "pretrain_rate", "compare_auxiliary"),
    *("data", "shares", "bag"),
)


def with_fit_options(command: Callable[[Mapping[str, object]], None]) -> Callable[..., None]:
    """The command with one option a field of FitConfig, --config, --resume, --continue, --on, --workers and --verbose."""
    resume = further_option(
        "resume",
        Path | None,
        "Resume an interrupted run; of the other options only --threads may be given.",
        metavar="RUN",
    )
    continues = further_option(
        "continue_",
        bool,
        "Resume the run of this very command where --out holds it, else begin it.",
    )
    verbose = further_option("verbose", bool, "Print all metrics, each with its interval.")
    on = further_option(
        "on", str | None, "ray: train in processes of a Ray cluster.", metavar="ENGINE"
    )
    workers = further_option("workers", int | None, "Processes of --on ray.", metavar="N")
    further = (resume, continues, on, workers, verbose)
    return with_options(command, tuple(FitConfig.model_fields), *further)


def with_column_options(command: Callable[[Mapping[str, object]], None]) -> Callable[..., None]:
    """The command with the options that say what columns are."""
    return with_options(command, (POSITIONAL, *_COLUMN_OPTIONS))


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
    further = [further_option(n, kind, text, metavar=m, panel=_STUDY) for n, kind, m, text in own]
    resume = further_option(
        "resume",
        Path | None,
        "Go on with a study that was stopped; no other option.",
        metavar="FOLDER",
    )
    return with_options(command, names, *further, resume)


def with_study_options(command: Callable[[Mapping[str, object]], None]) -> Callable[..., None]:
    """The command with the options of a fit that all of a study share, and the study's own."""
    names = [name for name in FitConfig.model_fields if name not in _NOT_OF_A_STUDY]
    further = [
        further_option(n, kind, text, metavar=m, panel=_COMPARISON)
        for n, (kind, m, text) in STUDY_OPTIONS.items()
    ]
    return with_options(command, names, *further)


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
    others = [flag_of(name) for name in given if name != "threads"]
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
