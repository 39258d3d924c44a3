"""resume: an interrupted run goes on to the weights and figures that it would have had."""

import warnings
from collections.abc import Iterator
from pathlib import Path

from torch import nn

from polytask.balancing import Balancer, Ranks
from polytask.data.readers import TableSource
from polytask.errors import UserError, in_python
from polytask.fitting.events import Event, Finished, Notice
from polytask.fitting.fitting import train_and_compare
from polytask.fitting.own_parts import OwnParts, TrunkFactory
from polytask.fitting.run_folder.folder import RunFolder
from polytask.fitting.run_folder.loading import load
from polytask.fitting.run_folder.run import Run
from polytask.trunks import Trunk


def resume(
    run: str | Path,
    table: TableSource | None = None,
    *,
    test: TableSource | None = None,
    valid: TableSource | None = None,
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
    folder = RunFolder(path)
    if not (path / "run.yaml").is_file():
        raise UserError(
            f"{path}: there is no run.yaml to go on from; a run that stopped before its first step "
            "is started again by its own command"
        )
    if folder.is_finished():
        # A kill while they were removed leaves them under another name.
        folder.remove_checkpoints()
        yield Notice(f"{path} is finished: nothing was left to do")
        yield Finished(load(path, encoder=own.encoder, trunk=own.trunk))
        return
    config = folder.read_config().model_copy(update={"out": path})
    if threads is not None:
        config = config.model_copy(update={"threads": threads})
    if table is None and config.table is None:
        raise UserError(
            f"{path}: the table of this run was handed over in memory and is in no file; go on from "
            "Python: polytask.resume(run, table)"
        )
    yield from train_and_compare(
        config, table, own=own, parts=parts or {}, ranks=ranks, interrupted=folder
    )
