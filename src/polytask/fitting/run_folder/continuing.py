"""continue: a command that is given again ends the run that it began."""

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

from polytask.balancing import Ranks
from polytask.config import FitConfig
from polytask.data.readers import TableSource
from polytask.errors import UserError, flag
from polytask.files.lock import Lock
from polytask.fitting.events import Event, Finished, Notice
from polytask.fitting.fitting import fit_events, train_and_compare
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.processes.torchrun import is_first, raise_on_all
from polytask.fitting.run_folder.folder import RunFolder
from polytask.fitting.run_folder.loading import load
from polytask.fitting.run_folder.resuming import lock_of_interrupted
from polytask.records.layout import OPTIONS

_MAY_DIFFER = {
    *("out", "overwrite", "threads", "device", "log_every", "checkpoint_every", "cache"),
}
_MOST_NAMED = 3


class OtherRunError(UserError):
    """The folder holds a run of other options or other data."""


def continued_events(
    config: FitConfig,
    table: TableSource | None = None,
    *,
    own: OwnParts | None = None,
    parts: Mapping[str, TableSource] | None = None,
    ranks: Ranks | None = None,
) -> Iterator[Event]:
    """The events of `fit_events`, or of what is left of them where `config.out` holds this very run.

    For commands that others start again: torchrun after a rank has died, Kubernetes, Ray. A run that
    has ended is loaded. UserError where the folder holds a run of other options or data, unless it
    may be overwritten; nothing is trained before that is known.
    """
    own, found = own or OwnParts(), dict(parts or {})
    if config.out is None:
        raise UserError(f"--continue needs the folder of the run: {flag('out', 'runs/first')}")
    try:
        is_done = yield from _rest_of(config.out, config, table, own, found, ranks)
    except OtherRunError:
        if not config.overwrite:
            raise
        is_done = False
    if not is_done:
        yield from fit_events(config, table, own=own, parts=found, ranks=ranks)


def _rest_of(
    path: Path,
    config: FitConfig,
    table: TableSource | None,
    own: OwnParts,
    parts: Mapping[str, TableSource],
    ranks: Ranks | None,
) -> Generator[Event, None, bool]:
    """What is left of the run in the folder; False, without an event, where there is none."""
    lock = raise_on_all(ranks, lambda: _taken(path) if is_first(ranks) else None)
    has_run = lock is not None if ranks is None else ranks.share(_on_first(ranks, lock))
    if not has_run:
        return False
    try:
        folder = RunFolder(path)
        earlier, is_finished = folder.read_config(), folder.is_finished()
        config = config.model_copy(update={"threads": config.threads or earlier.threads})
        events = train_and_compare(
            config, table, own=own, parts=parts, ranks=ranks, interrupted=folder
        )
        for event in events:
            if isinstance(event, Prepared):
                _require_same(event, folder, earlier, is_finished=is_finished)
                if is_finished:
                    break
            yield event
        if is_finished:
            yield Notice(f"{path} is finished: nothing was left to do")
            yield Finished(load(path, encoder=own.encoder, trunk=own.trunk))
        return True
    finally:
        if lock is not None:
            lock.release()


def _taken(path: Path) -> Lock | None:
    """The lock of a folder with a run; None where there is none, as before its first step."""
    return lock_of_interrupted(path) if (path / OPTIONS).is_file() else None


def _on_first(ranks: Ranks, lock: Lock | None) -> bool | None:
    return lock is not None if is_first(ranks) else None


def _require_same(
    prepared: Prepared, folder: RunFolder, earlier: FitConfig, *, is_finished: bool
) -> None:
    """OtherRunError unless run.yaml is what this command would write.

    Of a run under way the checkpoints hold checksums of all rows; of one that has ended only what
    the columns were fitted to is left to compare.
    """
    ours, theirs = (each.model_dump(mode="json") for each in (prepared.config, earlier))
    names = [name for name in ours if name not in _MAY_DIFFER and ours[name] != theirs[name]]
    others = [f"{name} is {theirs[name]} there, {ours[name]} here" for name in names]
    if not others and is_finished:
        inputs, _ = folder.read_encoders()
        if inputs.to_json() != prepared.inputs.to_json():
            others = ["the table has changed"]
    if others:
        more = f"; and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        raise OtherRunError(
            f"{folder.path}: the folder holds another run ({'; '.join(others[:_MOST_NAMED])}{more}): "
            f"name another --out, or pass --overwrite"
        )
