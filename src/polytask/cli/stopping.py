"""Ctrl-C and SIGTERM: what was computed stays, and a line says how to go on."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

TERMINATED = 128 + signal.SIGTERM


class Terminated(BaseException):
    """SIGTERM came, as from a scheduler or `docker stop`."""


@contextmanager
def terminated_in_order() -> Iterator[None]:
    """SIGTERM inside raises Terminated, so that what is half written is removed on the way out.

    Not under torchrun: it stops its processes this way, and they may be waiting for each other.
    """
    is_one_of_several = os.environ.get("WORLD_SIZE", "1") != "1"
    if is_one_of_several or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def told_how_to_resume(
    folder: Path | None, command: str = "fit", file: str | None = None
) -> Iterator[None]:
    """Where a run is stopped from outside, say the command that ends it, if its `file` is there."""
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        from polytask.records.layout import OPTIONS

        if folder is not None and (folder / (file or OPTIONS)).is_file():
            from polytask.cli.console import PlainConsole

            PlainConsole(stderr=True).print(f"go on with: polytask {command} --resume {folder}")
        raise


def _raise(_number: int, _frame: FrameType | None) -> None:
    raise Terminated
