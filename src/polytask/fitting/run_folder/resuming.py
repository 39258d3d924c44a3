"""resume: an interrupted run goes on to the weights and figures that it would have had."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import nn

from polytask.balancing import Balancer, Ranks
from polytask.config import FitConfig
from polytask.data.readers import TableSource
from polytask.errors import UserError, in_python
from polytask.files.lock import Lock
from polytask.fitting.data_sources import data_sources
from polytask.fitting.events import Event, Finished, Notice
from polytask.fitting.fitting import train_and_compare
from polytask.fitting.own_parts import OwnParts, TrunkFactory
from polytask.fitting.processes.torchrun import is_first, raise_on_all
from polytask.fitting.run_folder.folder import RunFolder
from polytask.fitting.run_folder.loading import load
from polytask.fitting.run_folder.run import Run
from polytask.records.layout import OPTIONS, check_folder, remove_parts
from polytask.trunks import Trunk


def resume(
    run: str | Path,
    table: TableSource | None = None,
    *,
    test: TableSource | None = None,
    valid: TableSource | None = None,
    data: Mapping[str, TableSource | Mapping[str, TableSource]] | None = None,
    encoder: nn.Module | None = None,
    trunk: Trunk | TrunkFactory | None = None,
    balancer: Balancer | None = None,
    threads: int | None = None,
) -> Run:
    """Go on with an interrupted fit; the rest is that of run.yaml.

    Tables, an encoder, a trunk and a balancer that `fit` was handed as objects have to be handed
    over again.
    With equal threads, versions and CPU the end is that of a run without a break, bit for bit; a
    UserWarning says where it is not, and which damaged checkpoints were passed over.

    Raises UserError where the folder holds no run, or the data or options are no longer the same.
    """
    given = {"valid": valid, "test": test}
    parts = {name: source for name, source in given.items() if source is not None}
    parts |= data_sources(data or {})
    own = OwnParts(encoder, trunk, balancer)
    for event in resume_events(run, table, own=own, parts=parts, threads=threads):
        if isinstance(event, Notice):
            warnings.warn(in_python(event.text), UserWarning, stacklevel=2)
        elif isinstance(event, Finished):
            return event.run
    raise AssertionError("resume_events ends with Finished")


def resume_events(
    run: str | Path,
    table: TableSource | None = None,
    *,
    own: OwnParts | None = None,
    parts: dict[str, TableSource] | None = None,
    threads: int | None = None,
    ranks: Ranks | None = None,
) -> Iterator[Event]:
    """The same as a sequence of events, with a Notice of all that somebody should know."""
    path, own = Path(run), own or OwnParts()
    if not (path / OPTIONS).is_file():
        raise UserError(
            f"{path}: there is no run.yaml to go on from; a run that stopped before its first step "
            "is started again by its own command"
        )
    lock = raise_on_all(ranks, lambda: lock_of_interrupted(path) if is_first(ranks) else None)
    try:
        folder = RunFolder(path)
        if folder.is_finished():
            yield Notice(f"{path} is finished: nothing was left to do")
            yield Finished(load(path, encoder=own.encoder, trunk=own.trunk))
            return
        config = _config_of(folder, table, threads=threads)
        yield from train_and_compare(
            config, table, own=own, parts=parts or {}, ranks=ranks, interrupted=folder
        )
    finally:
        if lock is not None:
            lock.release()


def lock_of_interrupted(path: Path) -> Lock:
    """The lock of a folder in which everything is what it seems, and nothing half written is left."""
    check_folder(path)
    lock = Lock.take(path)
    try:
        remove_parts(path)
    except BaseException:
        lock.release()
        raise
    return lock


def _config_of(folder: RunFolder, table: TableSource | None, *, threads: int | None) -> FitConfig:
    """The options of run.yaml, for this folder."""
    config = folder.read_config().model_copy(update={"out": folder.path})
    if threads is not None:
        config = config.model_copy(update={"threads": threads})
    if table is None and config.table is None and not config.data:
        raise UserError(
            f"{folder.path}: the table of this run was handed over in memory and is in no file; go on "
            "from Python: polytask.resume(run, table)"
        )
    return config
