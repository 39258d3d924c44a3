"""Passes by hand are autograd's, with their derivatives and second ones."""

import torch
from torch import nn

from polytask.trunks.blocks import Experts, mix


def test_experts() -> None:
    torch.manual_seed(0)
    experts = Experts(5, 3, hidden=(4, 3, 2)).double()
    for bias in (experts.first.bias, *experts.biases):
        nn.init.normal_(bias)
    x_BD = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    leaves = (x_BD, *experts.parameters())
    assert torch.autograd.gradcheck(lambda x_BD, *_: experts(x_BD), leaves)
    assert torch.autograd.gradgradcheck(lambda x_BD, *_: experts(x_BD), leaves)
    found_BEK = experts(x_BD)
    with torch.no_grad():
        torch.testing.assert_close(found_BEK, experts(x_BD))


def test_mixtures() -> None:
    torch.manual_seed(0)
    gate_BE = torch.rand(6, 3, dtype=torch.float64).requires_grad_()
    experts_BEH = torch.randn(6, 3, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(mix, (gate_BE, experts_BEH))
    assert torch.autograd.gradgradcheck(mix, (gate_BE, experts_BEH))
    expected_BH = torch.einsum("be,beh->bh", gate_BE, experts_BEH)
    torch.testing.assert_close(mix(gate_BE, experts_BEH), expected_BH)


def test_experts_that_drop_out_drop_out() -> None:
    torch.manual_seed(0)
    experts = Experts(5, 3, hidden=(64, 32), dropout=0.5)
    outputs_BEK = experts(torch.randn(200, 5))
    zeros = (outputs_BEK == 0).double().mean().item()
    assert 0.6 < zeros < 0.9, "half of what is above 0, and what is not"
    experts.eval()
    x_BD = torch.randn(8, 5)
    torch.testing.assert_close(experts(x_BD), experts(x_BD))
