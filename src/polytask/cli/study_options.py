"""The options of `polytask study` -> a study that begins, goes on, or is joined."""

from collections.abc import Mapping
from pathlib import Path

from polytask.cli.options import config_from
from polytask.cli.study_list import STUDY_OPTIONS
from polytask.config.spellings import split_commas
from polytask.config.study import Places, StudyConfig, quick, read_study, validate_study
from polytask.data.paths import matching_paths
from polytask.errors import UserError

_YAML = (".yaml", ".yml")
_OF_THIS_PROCESS = ("budget", "workers", "trial_time", "trial_memory", "storage")
"""What may be another thing when a study goes on: none of it changes a result."""
_LISTS = ("trunks", "balancers", "leave_out")
_PLACING = ("on", "machines")
_OTHER = ("quick", "resume", "join", "search_seed", "auxiliary", *_PLACING)


def begun_study(options: Mapping[str, object]) -> None:
    """Run what the options say."""
    known = {name: options.get(name) for name in STUDY_OPTIONS}
    own = {n: v for n, v in known.items() if v is not None and v is not False and v != []}
    resumed, joined = own.get("resume"), own.get("join")
    machines = _machines_of(own)
    if resumed is not None or joined is not None:
        over = {name: own[name] for name in _OF_THIS_PROCESS if name in own}
        others = [name for name in own if name not in (*over, "resume", "join", *_PLACING)]
        if others or options.get("table") or options.get("tasks"):
            raise UserError(
                f"--resume and --join take everything from the study's folder: beside them only "
                f"{', '.join('--' + name.replace('_', '-') for name in _OF_THIS_PROCESS)} may stand"
            )
        from polytask.cli.study import show_resumed_study

        path = Path(str(resumed if resumed is not None else joined))
        show_resumed_study(path, joins=joined is not None, over=over, machines=machines)
        return
    config, places = _asked(options, own)
    for table in (config.fit.table, config.fit.test, config.fit.valid):
        if table is not None:
            matching_paths(str(table))
    from polytask.cli.study import show_study

    show_study(config, places, machines=machines)


def _machines_of(own: Mapping[str, object]) -> int:
    """How many processes Ray is to place; 0 where it is not asked for."""
    if "on" not in own:
        if "machines" in own:
            raise UserError("--machines says how many processes --on ray places: pass both")
        return 0
    number = own.get("machines", 1)
    if own["on"] != "ray":
        raise UserError(f"--on={own['on']}: the one engine is ray")
    if not isinstance(number, int) or number < 1:
        raise UserError(f"--machines must be at least 1, but is {number}")
    if "join" in own:
        raise UserError("--on ray is for the process that leads: leave out --join")
    return number


def _asked(
    options: Mapping[str, object], own: Mapping[str, object]
) -> tuple[StudyConfig, Places | None]:
    """From a file, or from options alone; what is said beside a file wins."""
    said = _spelled(own)
    for name in ("out", "overwrite"):
        if options.get(name):
            said[name] = options[name]
    table = options.get("table")
    if table is not None and Path(str(table)).suffix in _YAML:
        config, places = read_study(Path(str(table)))
        known = {name for name, value in options.items() if value not in (None, False, [], ())}
        extra = known - set(own) - {"table", "out", "overwrite"}
        if extra:
            raise UserError(
                f"{table}: what all share is written under `fit` there: leave out "
                f"{', '.join('--' + name.replace('_', '-') for name in sorted(extra))}"
            )
        over = validate_study({"fit": config.fit, **said}, from_text=True)
        config = config.model_copy(update={name: getattr(over, name) for name in said})
        # A file may come from a stranger: only the command line says that a study may go.
        config = config.model_copy(update={"overwrite": bool(said.get("overwrite", False))})
        return (quick(config) if own.get("quick") else config), places
    shared = {n: v for n, v in options.items() if n not in ("out", "overwrite")}
    fit = config_from({n: v for n, v in shared.items() if n not in STUDY_OPTIONS})
    if not fit.tasks:
        raise UserError(
            "a study needs tasks: --task click --task watch:regression, or a study.yaml"
        )
    config = validate_study({"fit": fit, **said}, from_text=True)
    return (quick(config) if own.get("quick") else config), None


def _spelled(own: Mapping[str, object]) -> dict[str, object]:
    """Options as the keys of study.yaml have them."""
    found = {name: value for name, value in own.items() if name not in (*_LISTS, *_OTHER)}
    found |= {name: split_commas(str(own[name])) for name in _LISTS if name in own}
    if "search_seed" in own:
        found["seed"] = own["search_seed"]
    sets = own.get("auxiliary")
    if isinstance(sets, list | tuple):
        found["auxiliary"] = [
            () if str(each) == "none" else split_commas(str(each)) for each in sets
        ]
    return found
