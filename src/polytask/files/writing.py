"""Files that are there as a whole or not at all: written beside, brought to the disk, renamed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from polytask.errors import UserError
from polytask.files.plain import fresh_part, require_plain

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_RIGHTS = 0o666


class CannotWriteError(UserError):
    """The disk is full, read-only, or the folder is gone; what stood under the name still stands."""


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when the block ends well.

    Until then it has a fresh name beside it, and it is removed where the block fails. What stood
    there is replaced if it is a plain file, else refused. CannotWriteError for the system's errors.
    """
    require_plain(path)
    part = fresh_part(path)
    try:
        with _told(path), os.fdopen(_open(part, os.O_CREAT | os.O_EXCL), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with _told(path):
            part.replace(path)
            bring_to_disk(path.parent)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """The whole text under the name, in UTF-8, or what stood there before."""
    with written_whole(path) as file:
        file.write(text.encode())


def append_line(path: Path, line: str) -> None:
    """A line more at the end of a file, or none; no half of it stays where the disk is full."""
    with _plain_file(path, os.O_APPEND | os.O_CREAT) as descriptor:
        length = os.fstat(descriptor).st_size
        rest = f"{line}\n".encode()
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except BaseException:
            os.ftruncate(descriptor, length)
            raise


def cut(path: Path, num_bytes: int) -> None:
    """Forget what a file has after so many bytes."""
    with _plain_file(path, 0) as descriptor:
        os.ftruncate(descriptor, num_bytes)


def make_folder(path: Path, *, is_fresh: bool = False) -> None:
    """Make a folder and those above it; `is_fresh`: it must not be there, but the one above must."""
    with _told(path):
        if is_fresh:
            path.mkdir()
        else:
            path.mkdir(parents=True, exist_ok=True)


def act_on(path: Path, act: Callable[[], object]) -> None:
    """Do what changes the path; the system's errors become a CannotWriteError that names it."""
    with _told(path):
        act()


def bring_to_disk(folder: Path) -> None:
    """Wait until the disk has the names in a folder, where the system can be asked for it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _plain_file(path: Path, how: int) -> Iterator[int]:
    require_plain(path)
    with _told(path):
        descriptor = _open(path, how)
        try:
            if os.fstat(descriptor).st_nlink > 1:
                raise UserError(
                    f"{path}: this file has a second name (a hard link), under which it would change "
                    "as well: copy the folder, and use the copy"
                )
            yield descriptor
        finally:
            os.close(descriptor)


def _open(path: Path, how: int) -> int:
    return os.open(path, os.O_WRONLY | _NO_LINK | how, _RIGHTS)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWriteError(f"{path}: it cannot be written: {_words(error)}") from error


def _words(error: OSError) -> str:
    # pyarrow's errors have no number, or the words of the number at the end of many others.
    return (error.strerror if error.errno is not None else None) or str(error)
