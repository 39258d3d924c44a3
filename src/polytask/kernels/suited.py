"""What the kernels serve, and a call of one."""

import ctypes

import torch
from torch import Tensor

from polytask.kernels.compiled import library

LANES = 16
"""Floats side by side: layers of experts have widths that are multiples of it."""

_FEWEST_ROWS = 256
"""Of smaller batches the products are too short to gain by."""


def suits(num_rows: int, *tensors: Tensor) -> bool:
    """Whether kernels serve a batch of so many rows, and these tensors: float32 in the host's memory.

    >>> suits(1024, torch.ones(2, dtype=torch.float64))
    False
    """
    return (
        num_rows >= _FEWEST_ROWS
        and all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)
        and library() is not None
    )


def call(name: str, *arguments: ctypes.Structure | Tensor | int | None) -> int:
    """Call a kernel; tensors are pointers, without gaps in memory, and None none."""
    found = library()
    assert found is not None, "ask `suits` first"
    return int(getattr(found, name)(*map(_passed, arguments)))


def _passed(argument: ctypes.Structure | Tensor | int | None) -> object:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, ctypes.Structure):
        return ctypes.byref(argument)
    return None if argument is None else ctypes.c_int64(argument)
