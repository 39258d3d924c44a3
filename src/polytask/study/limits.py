"""What one training of a study may take, and how its process is held to it."""

import ctypes
import os
import signal
import sys
from dataclasses import dataclass

import torch

from polytask.fitting.sizes import memory_of

_DIES_WITH_PARENT = 1
_MOST_OF_MEMORY = 0.8


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process may take: seconds, bytes beside those of the table, threads."""

    seconds: float
    memory: int | None
    threads: int


def share_of_memory(workers: int) -> int | None:
    """The bytes that one of several trainings may take; None where the machine does not say."""
    there = memory_of(torch.device("cpu"))
    return None if there is None else int(_MOST_OF_MEMORY * there / workers)


def die_with_parent() -> None:
    """Let the system kill this process where the one that started it ends; on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)


def settle(limits: Limits, parent: int) -> None:
    """Hold this process, a fork of `parent`, to its limits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Whoever kills the study means its trainings too.
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)
    if limits.memory is not None:
        _limit_memory(limits.memory)
    torch.set_num_threads(limits.threads)


def _limit_memory(more: int) -> None:
    """So many bytes beside those that the fork began with."""
    import resource

    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123 - a file of the kernel's
            now = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = now + more
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
