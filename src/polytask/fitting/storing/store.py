"""Stores: folders of encoded rows under names of what they were made of, written whole or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from polytask import __version__
from polytask.config import FitConfig
from polytask.errors import UserError
from polytask.files.reading import read_text
from polytask.files.writing import CannotWriteError, write_text
from polytask.training.run import Settings

_FORMAT = 5
_CACHE = "POLYTASK_CACHE"
_STORE = "store-"
_FINISHED = "store.json"
_ALIAS = ".alias"

_SHAPES_NO_ROW = {
    *Settings.__dataclass_fields__,
    *("table", "test", "valid", "out", "overwrite", "init_from", "threads", "device"),
    *("log_every", "checkpoint_every", "intervals", "baseline", "compare_auxiliary", "cache"),
    *("on_disk", "preset", "trunk", "hidden", "num_experts", "expert_hidden", "tower_hidden"),
    *("dropout", "align", "shortcuts", "ensemble", "linear", "bag", "balancer", "measure_at"),
    *("cross_layers", "cross_rank"),
    *("fold", "seed", "batch_by", "monitor", "pretrain", "pretrain_epochs", "pretrain_rate"),
    *("auxiliary", "batch_size", "epochs", "patience", "allow"),
}
"""Options that leave the encoded rows as they are: runs that differ in them alone share a store."""


def cache_folder(named: Path | None = None) -> Path:
    """Where stores are kept: as named, $POLYTASK_CACHE, or the user's folder for caches."""
    if named is not None:
        return named
    if os.environ.get(_CACHE):
        return Path(os.environ[_CACHE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polytask"


def name_of(config: FitConfig, sources: object) -> str:
    """The name of a store: a checksum of the files' states, the options that shape rows, and versions."""
    shapes_no_row = _SHAPES_NO_ROW - ({"init_from"} if config.grow else set())
    options = config.model_dump(mode="json", exclude=shapes_no_row)
    text = json.dumps([_FORMAT, __version__, sources, options], sort_keys=True)
    return _STORE + hashlib.sha256(text.encode()).hexdigest()[:24]


def opened_or_built(folder: Path, build: Callable[[Path], None]) -> Path:
    """The finished store of this name; `build` fills a folder beside it that takes its name at the end.

    Two processes may build one store: the first to end is kept. What a kill leaves is removed by the
    next build of the same store.
    """
    folder = _meant(folder)
    if (folder / _FINISHED).is_file():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(f"{folder.name}.part-*"):
            if not _is_alive(left):
                shutil.rmtree(left, ignore_errors=True)
        part = Path(
            tempfile.mkdtemp(prefix=f"{folder.name}.part-{os.getpid()}-", dir=folder.parent)
        )
    except OSError as error:
        raise CannotWriteError(
            f"{folder.parent}: {error.strerror}; --cache names another folder"
        ) from error
    try:
        build(part)
        (part / _FINISHED).write_text(json.dumps({"version": __version__}))
        try:
            part.rename(folder)
        except OSError:
            if not (folder / _FINISHED).is_file():
                raise
    except OSError as error:
        raise CannotWriteError(f"{part}: {error.strerror}; --cache names another folder") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def also_named(folder: Path, name: str) -> None:
    """Let a store be found by a second name: that of the options as run.yaml completes them."""
    if folder.name != name:
        write_text(folder.with_name(f"{name}{_ALIAS}"), folder.name)


def _meant(folder: Path) -> Path:
    """The store that a second name stands for, if it is there."""
    alias = folder.with_name(f"{folder.name}{_ALIAS}")
    if not alias.is_file():
        return folder
    meant = folder.with_name(Path(read_text(alias, most_bytes=200)).name)
    return meant if (meant / _FINISHED).is_file() else folder


def _is_alive(part: Path) -> bool:
    """Whether the process that builds it is still there, on this machine."""
    try:
        os.kill(int(part.name.rpartition(".part-")[2].partition("-")[0]), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def require_space(folder: Path, needed: int) -> None:
    """UserError, with both sizes, where the disk has less than what is needed."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder.parent}: the encoded rows need {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are "
            "free: make room (polytask cache clear), or name another folder with --cache"
        )


@contextmanager
def unchanged(state: Callable[[], object], what: str) -> Iterator[None]:
    """UserError where files change between the beginning and the end of a block."""
    before = state()
    yield
    if state() != before:
        raise UserError(
            f"{what} changed while it was read: wait until it is written, and start again"
        )


def remove_stores(folder: Path) -> None:
    """All of them, and their second names; what else is in the folder stays."""
    for path in folder.glob(f"{_STORE}*"):
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        except OSError as error:
            raise UserError(f"{path}: it cannot be removed: {error.strerror}") from error


def stores_in(folder: Path) -> list[tuple[Path, int]]:
    """The stores of a cache with their bytes, unfinished ones too."""
    found = sorted(path for path in folder.glob(f"{_STORE}*") if path.is_dir())
    return [(each, sum(f.stat().st_size for f in each.rglob("*") if f.is_file())) for each in found]
