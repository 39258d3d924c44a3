"""Forward and backward passes of experts and mixtures by hand: autograd's copies and masks cost as much again."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from polytask.products import differentiable, linear, product, weight_gradient


def experts_pass(
    x_BD: Tensor,
    first: tuple[Tensor, Tensor],
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
) -> Tensor:
    """E perceptrons with ReLUs on one x: the first layer as one matrix, the others (E, H, K) each.

    **Shape** (B, D), first (E * H, D) and (E * H,), others (E, H, K) and (E, 1, K) -> (B, E, K).
    """
    num_experts = len(weights[0])
    outputs_BEK: Tensor = _Experts.apply(num_experts, x_BD, *first, *weights, *biases)  # type: ignore[no-untyped-call]
    return outputs_BEK


def mixed(gate_BE: Tensor, experts_BEH: Tensor) -> Tensor:
    """sum_e gate_e experts_e.

    **Shape** (B, E) and (B, E, H) -> (B, H).
    """
    mixed_BH: Tensor = _Mix.apply(gate_BE, experts_BEH)  # type: ignore[no-untyped-call]
    return mixed_BH


def by_expert(hidden_BH: Tensor, num_experts: int) -> Tensor:
    """(B, E * H) -> (E, B, H), a view."""
    width = hidden_BH.shape[-1] // num_experts
    # Not view(len(hidden_BH), ...), which would freeze the batch's size in an exported model.
    return hidden_BH.view(-1, num_experts, width).transpose(0, 1)


class _ExpertsContext(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]
    num_experts: int
    num_more: int


def _plain_experts(num_experts: int, x_BD: Tensor, *parameters: Tensor) -> Tensor:
    first, bias, *others = parameters
    num_more = len(others) // 2
    hidden_EBH = by_expert(linear(x_BD, first, bias).relu(), num_experts)
    for weight_EHK, bias_E1K in zip(others[:num_more], others[num_more:]):
        hidden_EBH = torch.baddbmm(bias_E1K, hidden_EBH, weight_EHK).relu()
    return hidden_EBH.transpose(0, 1)


class _Experts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _ExpertsContext, num_experts: int, x_BD: Tensor, *parameters: Tensor
    ) -> Tensor:
        first, bias, *others = parameters
        num_more = len(others) // 2
        first_BH = product(x_BD, first, bias, is_rectified=True)
        hidden = [by_expert(first_BH, num_experts)]
        for weight_EHK, bias_E1K in zip(others[:num_more], others[num_more:]):
            hidden.append(torch.baddbmm(bias_E1K, hidden[-1], weight_EHK).relu_())
        ctx.num_experts, ctx.num_more = num_experts, num_more
        ctx.save_for_backward(x_BD, *parameters, first_BH, *hidden[1:])
        return hidden[-1].transpose(0, 1)

    @staticmethod
    def backward(ctx: _ExpertsContext, gradient_BEK: Tensor) -> tuple[Tensor | None, ...]:
        num_inputs = 3 + 2 * ctx.num_more
        x_BD, first, _, *others = inputs = ctx.saved_tensors[:num_inputs]
        if torch.is_grad_enabled():
            plain = partial(_plain_experts, ctx.num_experts)
            return None, *differentiable(plain, inputs, gradient_BEK)
        first_BH, *hidden = ctx.saved_tensors[num_inputs:]
        weights = others[: ctx.num_more]
        below = [by_expert(first_BH, ctx.num_experts), *hidden[:-1]]
        gradient_EBK = gradient_BEK.transpose(0, 1)
        found: list[Tensor] = []
        for weight_EHK, outputs_EBK, inputs_EBH in reversed([*zip(weights, hidden, below)]):
            gradient_EBK = torch.ops.aten.threshold_backward(gradient_EBK, outputs_EBK, 0)
            bias_gradient = gradient_EBK.sum(dim=1, keepdim=True)
            found = [torch.bmm(inputs_EBH.transpose(1, 2), gradient_EBK), *found, bias_gradient]
            gradient_EBK = torch.bmm(gradient_EBK, weight_EHK.transpose(1, 2))
        weight_gradients = found[: ctx.num_more]
        bias_gradients = found[: ctx.num_more - 1 : -1]
        gradient_BH = gradient_EBK.transpose(0, 1).reshape(first_BH.shape)
        gradient_BH = torch.ops.aten.threshold_backward(gradient_BH, first_BH, 0)
        return (
            None,
            product(gradient_BH, first.t()) if ctx.needs_input_grad[1] else None,
            weight_gradient(gradient_BH, x_BD),
            gradient_BH.sum(0),
            *weight_gradients,
            *bias_gradients,
        )


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
