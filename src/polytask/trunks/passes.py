"""Forward and backward passes of experts and mixtures by hand: autograd's copies and masks cost as much again."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from polytask import kernels
from polytask.products import differentiable, unrectified


def experts_pass(first_BH: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """The layers of E perceptrons above their first one, of whose outputs they are, with ReLUs.

    **Shape** (B, E * H), weights (E, H, K) and biases (E, 1, K) -> (B, E, K).
    """
    way = _ExpertsByKernel if _suit_kernels(first_BH, weights) else _Experts
    outputs_BEK: Tensor = way.apply(first_BH, *weights, *biases)  # type: ignore[no-untyped-call]
    return outputs_BEK


def mixed(gate_BE: Tensor, experts_BEH: Tensor) -> Tensor:
    """sum_e gate_e experts_e.

    **Shape** (B, E) and (B, E, H) -> (B, H).
    """
    by_kernel = experts_BEH.shape[2] % kernels.LANES == 0 and (
        kernels.suits(len(gate_BE), gate_BE, experts_BEH)
    )
    mixed_BH: Tensor = (_MixByKernel if by_kernel else _Mix).apply(gate_BE, experts_BEH)  # type: ignore[no-untyped-call]
    return mixed_BH


def by_expert(hidden_BH: Tensor, num_experts: int) -> Tensor:
    """(B, E * H) -> (E, B, H), a view."""
    width = hidden_BH.shape[-1] // num_experts
    # Not view(len(hidden_BH), ...), which would freeze the batch's size in an exported model.
    return hidden_BH.view(-1, num_experts, width).transpose(0, 1)


def _suit_kernels(first_BH: Tensor, weights: Sequence[Tensor]) -> bool:
    widths = [width for weight_EHK in weights for width in weight_EHK.shape[1:]]
    return all(width % kernels.LANES == 0 for width in widths) and (
        kernels.suits(len(first_BH), first_BH, *weights)
    )


class _ExpertsContext(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]
    num_layers: int


def _plain_experts(first_BH: Tensor, *parameters: Tensor) -> Tensor:
    num_layers = len(parameters) // 2
    hidden_EBH = by_expert(first_BH, len(parameters[0]))
    for weight_EHK, bias_E1K in zip(parameters[:num_layers], parameters[num_layers:]):
        hidden_EBH = torch.baddbmm(bias_E1K, hidden_EBH, weight_EHK).relu()
    return hidden_EBH.transpose(0, 1)


class _Experts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _ExpertsContext, first_BH: Tensor, *parameters: Tensor) -> Tensor:
        num_layers = len(parameters) // 2
        hidden = [by_expert(first_BH, len(parameters[0]))]
        for weight_EHK, bias_E1K in zip(parameters[:num_layers], parameters[num_layers:]):
            hidden.append(torch.baddbmm(bias_E1K, hidden[-1], weight_EHK).relu_())
        ctx.num_layers = num_layers
        ctx.save_for_backward(first_BH, *parameters, *hidden[1:])
        return hidden[-1].transpose(0, 1)

    @staticmethod
    def backward(ctx: _ExpertsContext, gradient_BEK: Tensor) -> tuple[Tensor | None, ...]:
        num_inputs = 1 + 2 * ctx.num_layers
        first_BH, *parameters = ctx.saved_tensors[:num_inputs]
        if torch.is_grad_enabled():
            inputs = (first_BH, *parameters)
            return tuple(differentiable(_plain_experts, inputs, gradient_BEK))
        hidden = ctx.saved_tensors[num_inputs:]
        weights = parameters[: ctx.num_layers]
        below = [by_expert(first_BH, len(weights[0])), *hidden[:-1]]
        gradient_EBK = gradient_BEK.transpose(0, 1)
        weight_gradients: list[Tensor] = []
        bias_gradients: list[Tensor] = []
        for weight_EHK, outputs_EBK, inputs_EBH in reversed([*zip(weights, hidden, below)]):
            gradient_EBK = unrectified(gradient_EBK, outputs_EBK)
            bias_gradients.insert(0, gradient_EBK.sum(dim=1, keepdim=True))
            weight_gradients.insert(0, torch.bmm(inputs_EBH.transpose(1, 2), gradient_EBK))
            gradient_EBK = torch.bmm(gradient_EBK, weight_EHK.transpose(1, 2))
        gradient_BH = gradient_EBK.transpose(0, 1).reshape(first_BH.shape)
        return gradient_BH, *weight_gradients, *bias_gradients


class _ExpertsByKernel(torch.autograd.Function):
    """Rows stay whole: (B, E, K) from layer to layer."""

    @staticmethod
    def forward(ctx: _ExpertsContext, first_BH: Tensor, *parameters: Tensor) -> Tensor:
        num_layers = len(parameters) // 2
        first_BH = first_BH.contiguous()
        hidden = [first_BH.view(len(first_BH), len(parameters[0]), -1)]
        for weight_EHK, bias_E1K in zip(parameters[:num_layers], parameters[num_layers:]):
            hidden.append(kernels.experts_forward(hidden[-1], weight_EHK, bias_E1K))
        ctx.num_layers = num_layers
        ctx.save_for_backward(first_BH, *parameters, *hidden[1:])
        return hidden[-1]

    @staticmethod
    def backward(ctx: _ExpertsContext, gradient_BEK: Tensor) -> tuple[Tensor | None, ...]:
        num_inputs = 1 + 2 * ctx.num_layers
        first_BH, *parameters = ctx.saved_tensors[:num_inputs]
        if torch.is_grad_enabled():
            inputs = (first_BH, *parameters)
            return tuple(differentiable(_plain_experts, inputs, gradient_BEK))
        hidden = ctx.saved_tensors[num_inputs:]
        weights = parameters[: ctx.num_layers]
        below = [first_BH.view(len(first_BH), len(weights[0]), -1), *hidden[:-1]]
        found: list[tuple[Tensor, Tensor]] = []
        for weight_EHK, outputs_BEK, inputs_BEH in reversed([*zip(weights, hidden, below)]):
            gradient_BEK, *of_layer = kernels.experts_backward(
                inputs_BEH, weight_EHK, outputs_BEK, gradient_BEK.contiguous()
            )
            found.insert(0, (of_layer[0], of_layer[1]))
        weight_gradients, bias_gradients = zip(*found)
        return gradient_BEK.view(first_BH.shape), *weight_gradients, *bias_gradients


def _plain_mix(gate_BE: Tensor, experts_BEH: Tensor) -> Tensor:
    return (gate_BE.unsqueeze(-1) * experts_BEH).sum(dim=1)


class _MixContext(FunctionCtx):
    saved_tensors: tuple[Tensor, Tensor]


class _Mix(torch.autograd.Function):
    """One expert after the other, each a block of memory."""

    @staticmethod
    def forward(ctx: _MixContext, gate_BE: Tensor, experts_BEH: Tensor) -> Tensor:
        ctx.save_for_backward(gate_BE, experts_BEH)
        gates, experts = gate_BE.t().unsqueeze(-1), experts_BEH.transpose(0, 1)
        mixed_BH = gates[0] * experts[0]
        for gate_B1, expert_BH in zip(gates[1:], experts[1:]):
            mixed_BH.addcmul_(gate_B1, expert_BH)
        return mixed_BH

    @staticmethod
    def backward(ctx: _MixContext, gradient_BH: Tensor) -> tuple[Tensor | None, Tensor | None]:
        gate_BE, experts_BEH = ctx.saved_tensors
        if torch.is_grad_enabled():
            gate, experts = differentiable(_plain_mix, (gate_BE, experts_BEH), gradient_BH)
            return gate, experts
        experts_EBH = experts_BEH.transpose(0, 1)
        gate_EB = (experts_EBH * gradient_BH).sum(dim=-1)
        return gate_EB.t(), (gate_BE.t().unsqueeze(-1) * gradient_BH).transpose(0, 1)


class _MixByKernel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _MixContext, gate_BE: Tensor, experts_BEH: Tensor) -> Tensor:
        gate_BE, experts_BEH = gate_BE.contiguous(), experts_BEH.contiguous()
        ctx.save_for_backward(gate_BE, experts_BEH)
        return kernels.mix_forward(gate_BE, experts_BEH)

    @staticmethod
    def backward(ctx: _MixContext, gradient_BH: Tensor) -> tuple[Tensor | None, Tensor | None]:
        gate_BE, experts_BEH = ctx.saved_tensors
        if torch.is_grad_enabled():
            gate, experts = differentiable(_plain_mix, (gate_BE, experts_BEH), gradient_BH)
            return gate, experts
        return kernels.mix_backward(gate_BE, experts_BEH, gradient_BH.contiguous())
