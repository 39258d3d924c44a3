"""One process at a time writes a run: a lock file that says whose it is, and since when."""

import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from polytask.errors import UserError
from polytask.files.plain import require_plain
from polytask.files.writing import CannotWriteError

LOCK = "run.lock"

_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Lock:
    """Held by this process until `release`; the system frees it where the process dies.

    What a kill leaves is the file alone, which locks nobody out.
    """

    path: Path
    descriptor: int

    @classmethod
    def take(cls, folder: Path) -> "Lock":
        """UserError, with the other process and its age, where the folder is being written."""
        path = folder / LOCK
        require_plain(path)
        while True:
            descriptor = _opened(path)
            try:
                if not _acquire(descriptor):
                    raise UserError(f"{folder}: {_owner(path)}; wait for its end, or stop it")
                if _is_still_there(path, descriptor):
                    _sign(descriptor)
                    return cls(path, descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            # Its owner removed it between the two lines above.
            os.close(descriptor)

    def release(self) -> None:
        """Remove the file and let others in."""
        if _is_still_there(self.path, self.descriptor):
            self.path.unlink()
        os.close(self.descriptor)


def require_unlocked(folder: Path) -> None:
    """UserError where a process is writing the folder now."""
    if require_plain(folder / LOCK):
        Lock.take(folder).release()


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise CannotWriteError(f"{path}: it cannot be written: {error.strerror}") from error


def _acquire(descriptor: int) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks: nobody is locked out, as before.
        return True
    return True


def _is_still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except OSError:
        return False


def _sign(descriptor: int) -> None:
    owner = {"process": os.getpid(), "host": socket.gethostname(), "since": time.time()}
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps(owner).encode())


def _owner(path: Path) -> str:
    """Whose lock it is, as far as the file says so: it may have been cut, or written by a stranger."""
    try:
        with path.open("rb") as file:
            owner = json.loads(file.read(_MOST_BYTES))
        process, host, since = int(owner["process"]), str(owner["host"]), float(owner["since"])
        age = max(time.time() - since, 0.0)
        return f"process {process} on {host} has been writing this run for {_span(age)}"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return "another process is writing this run"


def _span(seconds: float) -> str:
    for size, unit in ((3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
