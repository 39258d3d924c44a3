"""How large a model would be, before memory is taken for it."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from polytask.choices import EmbeddingOptimizer
from polytask.errors import UserError

ModelT = TypeVar("ModelT", bound=nn.Module)

_CGROUP = Path("/sys/fs/cgroup/memory.max")
_COPIES = 4
"""In training: the weights, their gradients and the two moments of AdamW."""
_COPIES_OF_TABLES = 2
"""The same of tables under row-wise Adagrad: the weights, and the best ones so far."""

_DRAWING = frozenset(
    {
        *(torch.Tensor.normal_, torch.Tensor.uniform_),
        *(nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_),
    }
)

_DRAWN = frozenset({torch.randn, torch.rand})


class _Undrawn(TorchFunctionMode):
    """Nothing is drawn: on the meta device that would import torch's compiler, and with it half a
    thousand modules."""

    def __torch_function__(
        self,
        function: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        named = kwargs or {}
        if function in _DRAWING:
            return args[0] if args else named["tensor"]
        # Who brings a generator wants these very numbers: kinds keep them.
        is_undrawn = function in _DRAWN and named.get("generator") is None
        undrawn: Callable[..., object] = torch.empty if is_undrawn else function
        return undrawn(*args, **named)


def sketched(build: Callable[[], ModelT]) -> ModelT:
    """The model without memory for its weights; UserError where a size is beyond any machine's."""
    try:
        with torch.device("meta"), _Undrawn():
            return build()
    except (RuntimeError, OverflowError, TypeError) as error:
        first = str(error).partition("\n")[0]
        if isinstance(error, TypeError) and "Overflow" not in first:
            raise
        raise UserError(f"the options make a model of an impossible size: {first}") from error


def require_memory(
    sketch: nn.Module, device: torch.device, optimizer: EmbeddingOptimizer | None = None
) -> None:
    """UserError, with the size that it needs, where a model cannot be trained in the machine's memory."""
    tables = {id(m.weight) for m in sketch.modules() if isinstance(m, nn.Embedding) and m.sparse}
    tables = tables if optimizer == "rowwise_adagrad" else set()
    tensors = [*sketch.parameters(), *sketch.buffers()]
    needed = sum(
        tensor.numel()
        * tensor.element_size()
        * (_COPIES_OF_TABLES if id(tensor) in tables else _COPIES)
        for tensor in tensors
    )
    there = memory_of(device)
    if there is not None and needed > there:
        number = sum(parameter.numel() for parameter in sketch.parameters())
        raise UserError(
            f"a model of {number:,} parameters needs {_gigabytes(needed)} to be trained, and "
            f"{'this machine' if device.type == 'cpu' else device} has {_gigabytes(there)}: take "
            "fewer or narrower experts, towers and embeddings"
        )


def memory_of(device: torch.device) -> int | None:
    """The bytes that this process may have on a device; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    limits = [limit for limit in (_installed(), _allowed(), _of_container()) if limit is not None]
    return min(limits, default=None)


def _installed() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _allowed() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _of_container() -> int | None:
    try:
        text = _CGROUP.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:,.1f} GB"
