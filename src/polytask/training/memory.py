"""What a training step frees is kept for the next step."""

import ctypes
import gc
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# The numbers of these settings in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_ONE_GIBIBYTE = 1 << 30
# What malloc arrives at by itself in a process that has freed large blocks.
_USUAL = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20}


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Inside, glibc's malloc keeps up to 1 GiB of freed memory, and cuts tensors from it.

    By default it hands the largest tensors of every step back to the system, which clears the same
    pages again at the next step. The setting is for the whole process; afterwards it is the one that
    malloc settles at by itself once tensors were freed, and what was kept goes back.
    Does nothing with another C library, or where the environment has settings for malloc.
    """
    is_set = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if is_set or platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    for setting in _USUAL:
        libc.mallopt(setting, _ONE_GIBIBYTE)
    try:
        yield
    finally:
        for setting, value in _USUAL.items():
            libc.mallopt(setting, value)
        libc.malloc_trim(0)


@contextmanager
def collector_spared() -> Iterator[None]:
    """Inside, Python's collector of garbage does not look through what was there before.

    A pass over the objects of the loaded libraries takes as long as some fifty steps, and finds nothing.
    Does nothing where somebody has set objects aside already.
    """
    if gc.get_freeze_count() > 0:
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
