"""What a training step frees is kept for the next step."""

import ctypes
import functools
import os
import platform

# The numbers of these settings in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_ONE_GIBIBYTE = 1 << 30


@functools.cache
def keep_freed_memory() -> None:
    """Tell glibc's malloc to keep up to 1 GiB of freed memory, and to cut tensors from it.

    By default it hands the largest tensors of every step back to the system, which clears the same
    pages again at the next step. The setting is for the whole process and stays.
    Does nothing with another C library, or where the environment has settings for malloc.
    """
    is_set = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if is_set or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, _ONE_GIBIBYTE)
    libc.mallopt(_TRIM_THRESHOLD, _ONE_GIBIBYTE)
