"""fit: a table in; a trained and evaluated run out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from typing import Unpack

from torch import nn

from polytask.balancing import Ranks
from polytask.config import FitConfig, TaskConfig, validate_config, write_config
from polytask.config.keywords import FitOptions, described_options
from polytask.data.readers import TableSource
from polytask.errors import UserError, flag
from polytask.files.writing import CannotWriteError
from polytask.fitting.bagging import bagged
from polytask.fitting.data_sources import data_sources, plain_data_sets
from polytask.fitting.events import Event, Finished
from polytask.fitting.own_parts import BalancerChoice, OwnParts, TrunkChoice, taken_apart
from polytask.fitting.pairs import with_and_without
from polytask.fitting.planning import plans_of
from polytask.fitting.processes.environment import borrowed, pick_device
from polytask.fitting.processes.torchrun import is_first, raise_on_all
from polytask.fitting.run_folder.folder import RunFolder, check_free
from polytask.fitting.run_folder.run import Run
from polytask.fitting.session import Session
from polytask.fitting.storing.choosing import prepare_on_ranks
from polytask.fitting.telling import is_notebook, tell
from polytask.records.layout import OPTIONS
from polytask.task import Task


def fit(
    table: TableSource | None = None,
    tasks: str | Task | Sequence[str | Task] = (),
    *,
    encoder: nn.Module | None = None,
    trunk: TrunkChoice | None = None,
    balancer: BalancerChoice | None = None,
    verbose: bool | None = None,
    **options: Unpack[FitOptions],
) -> Run:
    """Train one model for all tasks of a table, and one a task to compare it with.

    tasks: [NAME=]COLUMN[:KIND[:YES]], as on the command line, or tasks such as binary("click").
    `test` and `valid` may be tables. data: in the place of a table {NAME: TABLE, ...}, a data set for some of the tasks,
    which are then NAME.COLUMN[:KIND]; or {NAME: {"table": ..., "test": ..., "valid": ...}}.
    encoder: any module that makes (B, out_features) of the inputs, tensors by name such as
    "numeric" (B, N), NaN where missing, and "categorical" (B, C), in the place of ours.
    trunk: a name, a mapping of a name and options, what makes one (MMoE, partial(MMoE,
    num_experts=4)), or a trunk; balancer: a name, a mapping, or a balancer such as NashMTL(3).
    verbose: print what was read and a line a model; None does so in a notebook.
    Raises UserError for what the user can mend. The other options:
    """
    named, own = taken_apart(trunk, balancer)
    values: dict[str, object] = {"tasks": _described(tasks), **named, **options}
    parts: dict[str, TableSource] = {}
    if options.get("data"):
        parts |= data_sources(options["data"])
        values["data"] = plain_data_sets(options["data"])
    for part, source in (("test", options.get("test")), ("valid", options.get("valid"))):
        if source is not None and not isinstance(source, str | Path):
            parts[part] = source
            del values[part]
    config = validate_config(values)
    is_told = is_notebook() if verbose is None else verbose
    for event in fit_events(config, table, own=replace(own, encoder=encoder), parts=parts):
        if is_told:
            tell(event)
        if isinstance(event, Finished):
            return event.run
    raise AssertionError("fit_events ends with Finished")


def _described(tasks: object) -> list[object]:
    """Tasks as the configuration has them; UserError for labels that stand in their place."""
    listed = tasks if isinstance(tasks, Sequence) and not isinstance(tasks, str) else [tasks]
    if not all(isinstance(task, str | Task | TaskConfig | Mapping) for task in listed):
        raise UserError(
            "tasks are names of columns, such as ['click', 'watch:regression']: fit takes one table "
            "with the labels in it; polytask.sklearn has estimators for X and y"
        )
    return [
        TaskConfig.model_validate(task, from_attributes=True) if isinstance(task, Task) else task
        for task in listed
    ]


if fit.__doc__:
    fit.__doc__ = f"{fit.__doc__.rstrip()}\n\n{indent(described_options(), ' ' * 4)}\n"


def fit_events(
    config: FitConfig,
    table: TableSource | None = None,
    *,
    own: OwnParts | None = None,
    parts: dict[str, TableSource] | None = None,
    ranks: Ranks | None = None,
) -> Iterator[Event]:
    """The same as a sequence of events; what is computed is on disk before the next begins.

    With `ranks` every process goes through them; only the first one evaluates, writes and Finishes.
    """
    raise_on_all(ranks, lambda: _check_folders(config) if is_first(ranks) else None)
    yield from train_and_compare(config, table, own=own, parts=parts or {}, ranks=ranks)


def _check_folders(config: FitConfig) -> None:
    """Before a table is read for minutes."""
    if config.init_from is not None:
        RunFolder.open(config.init_from)
    if config.out is None:
        return
    check_free(config.out, overwrite=config.overwrite)
    write_config(config)


def train_and_compare(
    config: FitConfig,
    table: TableSource | None,
    *,
    own: OwnParts | None,
    parts: Mapping[str, TableSource],
    ranks: Ranks | None,
    interrupted: RunFolder | None = None,
) -> Iterator[Event]:
    """The events of a new fit, or of what is left of an `interrupted` one."""
    with borrowed(config.threads):
        device = raise_on_all(ranks, lambda: pick_device(config.device, ranks))
        prepared = prepare_on_ranks(config, table, parts=parts, ranks=ranks)
        plans = bagged(plans_of(prepared.config, prepared), prepared)
        pairs = raise_on_all(ranks, lambda: with_and_without(prepared.config, prepared))
        session = Session(
            prepared.config,
            prepared,
            [*plans, *pairs],
            device,
            own or OwnParts(),
            ranks,
        )
        raise_on_all(ranks, session.check)
        yield prepared
        try:
            yield from _trained(session, interrupted, ranks)
        except CannotWriteError as error:
            if config.out is None or not (config.out / OPTIONS).is_file():
                raise
            raise UserError(
                f"{error.message}; what was saved stays, and {flag('resume', config.out)} ends it"
            ) from error
        finally:
            session.close()


def _trained(
    session: Session, interrupted: RunFolder | None, ranks: Ranks | None
) -> Iterator[Event]:
    if interrupted is not None:
        raise_on_all(ranks, lambda: session.resume(interrupted))
    yield from session.check_precision()
    yield from session.choose_threads()
    for plan in session.plans:
        yield from session.run(plan)
    if is_first(ranks):
        yield Finished(session.finish())
