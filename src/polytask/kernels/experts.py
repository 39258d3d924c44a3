"""The kernels of experts' upper layers and of mixtures, of tensors without gaps."""

import ctypes

import torch
from torch import Tensor

from polytask.kernels.suited import call

_CHUNK = 128
"""Rows that are kept in the cache, as in the source."""


class _Layer(ctypes.Structure):
    _fields_ = (
        *((n, ctypes.c_int64) for n in ("batch", "experts", "inputs", "outputs", "threads")),
        ("room", ctypes.c_void_p),
    )


def experts_forward(x_BEH: Tensor, weight_EHK: Tensor, bias_E1K: Tensor) -> Tensor:
    """max(0, x W + b) of each expert (B, E, K)."""
    y_BEK = x_BEH.new_empty(*x_BEH.shape[:2], weight_EHK.shape[2])
    layer, _room = _layer(y_BEK, weight_EHK.shape[1])
    call("experts_forward", layer, x_BEH, weight_EHK, bias_E1K, y_BEK)
    return y_BEK


def experts_backward(
    x_BEH: Tensor, weight_EHK: Tensor, y_BEK: Tensor, dy_BEK: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of x, of the weights and of the biases (E, 1, K)."""
    num_experts, inputs, outputs = weight_EHK.shape
    dx_BEH, dweight_EHK = torch.empty_like(x_BEH), torch.empty_like(weight_EHK)
    dbias_E1K = weight_EHK.new_empty(num_experts, 1, outputs)
    layer, _room = _layer(y_BEK, inputs)
    tensors = (x_BEH, weight_EHK, y_BEK, dy_BEK, dx_BEH, dweight_EHK, dbias_E1K)
    call("experts_backward", layer, *tensors)
    return dx_BEH, dweight_EHK, dbias_E1K


def mix_forward(gate_BE: Tensor, x_BEH: Tensor) -> Tensor:
    """sum_e gate_e x_e (B, H)."""
    y_BH = x_BEH.new_empty(len(x_BEH), x_BEH.shape[2])
    call("mix_forward", _layer(x_BEH)[0], gate_BE, x_BEH, y_BH)
    return y_BH


def mix_backward(gate_BE: Tensor, x_BEH: Tensor, dy_BH: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of the gate and of x."""
    dgate_BE, dx_BEH = torch.empty_like(gate_BE), torch.empty_like(x_BEH)
    call("mix_backward", _layer(x_BEH)[0], gate_BE, x_BEH, dy_BH, dgate_BE, dx_BEH)
    return dgate_BE, dx_BEH


def _layer(y_BEK: Tensor, inputs: int = 0) -> tuple[_Layer, Tensor]:
    batch, experts, outputs = y_BEK.shape
    room = y_BEK.new_empty(experts * (inputs * (outputs + _CHUNK + 1) + _CHUNK * outputs))
    sizes = (batch, experts, inputs, outputs, torch.get_num_threads())
    return _Layer(*sizes, room.data_ptr()), room
