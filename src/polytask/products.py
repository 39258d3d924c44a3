"""Matrix products of float32 on a CPU, by the faster of the two libraries that torch brings along."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

_FULL = (torch.float32, torch.float64)
_FEWEST = 1 << 21
"""Of fewer multiplications the call of oneDNN costs more than it gains."""


class Unmade(ABC):
    """An x that is never made: it stands where `linear` takes x, and answers its products alone."""

    @abstractmethod
    def linear(self, weight_HD: Tensor, bias_H: Tensor | None, *, is_rectified: bool) -> Tensor:
        """x W^T + b, or max(0, x W^T + b)."""


class Linear(nn.Linear):
    """`torch.nn.Linear`, with the same parameters, by `linear`.

    **Shape** (B, in_features) -> (B, out_features).

    >>> layer = Linear(3, 2)
    >>> torch.allclose(layer(torch.ones(4, 3)), layer.weight.sum(1) + layer.bias)
    True
    """

    def forward(self, x_BD: Tensor | Unmade) -> Tensor:
        return linear(x_BD, self.weight, self.bias)


def linear(
    x_BD: Tensor | Unmade,
    weight_HD: Tensor,
    bias_H: Tensor | None = None,
    *,
    is_rectified: bool = False,
) -> Tensor:
    """`torch.nn.functional.linear`, and a ReLU if asked for, to rounding, where that is quicker by oneDNN.

    torch hands float32 products to Intel's MKL, which on AMD's processors leaves half of their units idle.

    **Shape** (B, D), (H, D) and (H,) -> (B, H).

    >>> linear(torch.ones(2, 3), torch.ones(1, 3), torch.ones(1)).tolist()
    [[4.0], [4.0]]
    """
    if isinstance(x_BD, Unmade):
        return x_BD.linear(weight_HD, bias_H, is_rectified=is_rectified)
    if not suits_onednn(x_BD, weight_HD):
        y_BH = functional.linear(x_BD, weight_HD, bias_H)
        return y_BH.relu_() if is_rectified else y_BH
    if not torch.is_grad_enabled():
        return product(x_BD, weight_HD, bias_H, is_rectified=is_rectified)
    found: Tensor = _Linear.apply(x_BD, weight_HD, bias_H, is_rectified)  # type: ignore[no-untyped-call]
    return found


def suits_onednn(x_BD: Tensor, weight_HD: Tensor) -> bool:
    """Whether `linear` takes oneDNN's product: plain float32 matrices in the memory of such a CPU."""
    return (
        x_BD.device.type == "cpu"
        and x_BD.dtype == weight_HD.dtype == torch.float32
        and x_BD.ndim == 2
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and onednn_is_faster()
        and x_BD.numel() * len(weight_HD) >= _FEWEST
    )


def product(
    x_BD: Tensor, weight_HD: Tensor, bias_H: Tensor | None = None, *, is_rectified: bool = False
) -> Tensor:
    """x W^T + b, or max(0, x W^T + b), without a graph, by the library that suits.

    Both matrices may be transposed views.
    """
    if not suits_onednn(x_BD, weight_HD):
        y_BH = functional.linear(x_BD, weight_HD, bias_H)
        return y_BH.relu_() if is_rectified else y_BH
    then = "relu" if is_rectified else "none"
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x_BD, weight_HD, bias_H, then, [], "")
    return found


def weight_gradient(dy_BH: Tensor, x_BD: Tensor) -> Tensor:
    """dy^T x (H, D), without a graph."""
    if dy_BH.shape[1] <= x_BD.shape[1] or not suits_onednn(x_BD.t(), dy_BH.t()):
        return product(dy_BH.t(), x_BD.t())
    # oneDNN is quicker with few rows than with few columns; a gradient lies in memory as its weight.
    return product(x_BD.t(), dy_BH.t()).t().contiguous()


def suits_passes(*tensors: Tensor) -> bool:
    """Whether passes written by hand serve these: a gradient is wanted, on a CPU, in full precision."""
    return torch.is_grad_enabled() and suits_full_precision(*tensors)


def suits_full_precision(*tensors: Tensor) -> bool:
    """Whether these are of one float type of 32 or 64 bits on a CPU, and used as they are."""
    return (
        all(t.device.type == "cpu" and t.dtype in _FULL for t in tensors)
        and len({tensor.dtype for tensor in tensors}) == 1
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
    )


def differentiable(
    plain: Callable[..., Tensor], inputs: Sequence[Tensor], gradient: Tensor
) -> list[Tensor | None]:
    """The gradients of `plain(*inputs)`, with a graph: for who differentiates a backward pass by hand."""
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    found = torch.autograd.grad(plain(*inputs), wanted, gradient, create_graph=True)
    of = dict(zip(map(id, wanted), found))
    return [of.get(id(tensor)) for tensor in inputs]


@cache
def onednn_is_faster() -> bool:
    """Whether this machine's float32 products are quicker by oneDNN, and right.

    A fact of the processor's maker and of the build of torch, never a timing: equal machines take
    equal paths, so that a run that is resumed repeats its bits.
    """
    if _maker() not in ("AuthenticAMD", "HygonGenuine") or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    generator = torch.Generator().manual_seed(0)
    x_BD, weight_HD = (torch.randn(64, 96, generator=generator) for _ in range(2))
    try:
        found = torch.ops.mkldnn._linear_pointwise(x_BD, weight_HD, None, "none", [], "")
    except (AttributeError, RuntimeError):
        return False
    return bool(torch.allclose(found, x_BD @ weight_HD.t(), rtol=1e-5, atol=1e-4))


def bf16_is_emulated() -> bool:
    """Whether this processor is known to have no units for bfloat16 (AVX512-BF16, AMX, Arm's BF16)."""
    # Of torch before 2.12 nothing is known.
    found: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    units = [bool(value) for name, value in found.items() if "bf16" in name]
    return bool(units) and not any(units)


def _maker() -> str:
    """Who made the processor, where the system is Linux and says so."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")), "")


class _LinearContext(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, bool, bool, bool]
    is_rectified: bool


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _LinearContext,
        x_BD: Tensor,
        weight_HD: Tensor,
        bias_H: Tensor | None,
        is_rectified: bool,
    ) -> Tensor:
        y_BH = product(x_BD, weight_HD, bias_H, is_rectified=is_rectified)
        ctx.is_rectified = is_rectified
        ctx.save_for_backward(x_BD, weight_HD, *([y_BH] if is_rectified else []))
        return y_BH

    @staticmethod
    def backward(
        ctx: _LinearContext, dy_BH: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x_BD, weight_HD, *outputs = ctx.saved_tensors
        needs_x, needs_weight, needs_bias, _ = ctx.needs_input_grad
        if outputs:
            dy_BH = unrectified(dy_BH, outputs[0])
        if torch.is_grad_enabled():
            # Somebody differentiates the gradient: oneDNN's product has none.
            dx_BD, dweight_HD = dy_BH @ weight_HD, dy_BH.t() @ x_BD
            return dx_BD, dweight_HD, dy_BH.sum(0) if needs_bias else None, None
        return (
            product(dy_BH, weight_HD.t()) if needs_x else None,
            weight_gradient(dy_BH, x_BD) if needs_weight else None,
            dy_BH.sum(0) if needs_bias else None,
            None,
        )


def unrectified(gradient: Tensor, outputs: Tensor) -> Tensor:
    """The gradient below a ReLU with these outputs."""
    found: Tensor = torch.ops.aten.threshold_backward(gradient, outputs, 0)
    return found
