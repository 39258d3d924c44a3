"""The kernels, compiled once a machine by the system's C compiler, and loaded."""

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent
_SOURCES = (("fold.c",), ("fold.c", "-DFEW"), ("experts.c",), ("gram.c",), ("weighing.c",))
"""With the options of each."""

_FLAGS = ("-O3", "-march=native", "-std=gnu11", "-fPIC", "-fno-math-errno", "-fvisibility=default")
_OPENMP = "GOMP_parallel"
_SECONDS = 60
_KEPT = 8
_OFF = "POLYTASK_KERNELS"


class UnavailableError(Exception):
    """Why there are no kernels."""


@cache
def library() -> ctypes.CDLL | None:
    """The kernels; None where torch's own operators stand in for them."""
    return _found()[0]


def state() -> str:
    """Which of the two runs, in words.

    >>> state().split(":")[0] in ("kernels of C", "no kernels of C")
    True
    """
    return _found()[1]


@cache
def _found() -> tuple[ctypes.CDLL | None, str]:
    try:
        path = _compiled()
        return ctypes.CDLL(str(path)), f"kernels of C: {path}"
    except (UnavailableError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        return None, f"no kernels of C: {error}"


def _compiled() -> Path:
    if os.environ.get(_OFF, "").lower() in ("0", "off", "no", "false"):
        raise UnavailableError(f"the environment says {_OFF}={os.environ[_OFF]}")
    if not hasattr(os, "getuid"):
        raise UnavailableError("this system does not say whose a file is")
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise UnavailableError("there is no C compiler (cc, or what CC names)")
    # torch brings OpenMP along: its threads are used, and none of a second library.
    flags = [*_FLAGS, *(["-fopenmp"] if hasattr(ctypes.CDLL(None), _OPENMP) else [])]
    folder = _folder()
    path = folder / f"kernels-{_key(compiler, flags)}.so"
    if not path.exists():
        _compile(compiler, flags, path)
        _remove_old(folder)
    _require_own(path)
    return path


def _folder() -> Path:
    """Where compiled files are kept: the user's own folder, which nobody else writes to."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "polytask" / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_own(folder)
    return folder


def _require_own(path: Path) -> None:
    found = path.lstat()
    is_shared = bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    if found.st_uid != os.getuid() or is_shared or stat.S_ISLNK(found.st_mode):
        raise UnavailableError(f"others may write to {path}")


def _key(compiler: str, flags: list[str]) -> str:
    """What the compiled file depends on: sources, compiler and processor."""
    version = subprocess.run([compiler, "--version"], capture_output=True, timeout=_SECONDS)
    parts = [path.read_bytes() for path in sorted(_HERE.glob("*.[ch]"))]
    parts += [compiler.encode(), version.stdout, *(flag.encode() for flag in flags), _processor()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]


def _processor() -> bytes:
    """What `-march=native` compiles for."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return platform.processor().encode()
    names = (b"vendor_id", b"model", b"flags", b"Features", b"CPU")
    return b"".join(sorted({line for line in lines if line.startswith(names)}))


def _compile(compiler: str, flags: list[str], path: Path) -> None:
    """One after the other, and not linked with OpenMP, whose functions are torch's."""
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        objects = [str(Path(work) / f"{number}.o") for number in range(len(_SOURCES))]
        for (name, *options), into in zip(_SOURCES, objects):
            _run([compiler, *flags, *options, "-c", str(_HERE / name), "-o", into])
        whole = Path(work) / path.name
        _run([compiler, "-shared", *objects, "-o", str(whole)])
        whole.chmod(0o700)
        whole.replace(path)


def _remove_old(folder: Path) -> None:
    """All but the newest files: each version and each processor has its own. Who has one loaded keeps it."""
    by_age = sorted(folder.glob("kernels-*.so"), key=lambda path: path.stat().st_mtime)
    for path in by_age[:-_KEPT]:
        path.unlink(missing_ok=True)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode != 0:
        first = next(iter(done.stderr.strip().splitlines()), f"it ended with {done.returncode}")
        raise UnavailableError(f"{command[0]} does not compile them: {first}")
