"""Which parameters weight decay shrinks: weights of layers, and nothing that starts elsewhere than 0."""

import pytest
import torch
from torch import nn

from polytask.model import MultiTaskModel
from polytask.task import binary
from polytask.training.optimizer import Optimizers
from polytask.trunks import TRUNKS, CrossStitch


def decayed(model: nn.Module) -> set[str]:
    optimizers = Optimizers(model, learning_rate=0.1, weight_decay=0.01)
    (adamw,) = optimizers.all
    ids = {id(p) for g in adamw.param_groups if g["weight_decay"] > 0 for p in g["params"]}
    all_ids = [id(p) for g in adamw.param_groups for p in g["params"]]
    assert sorted(all_ids) == sorted(id(p) for p in model.parameters())
    return {name for name, parameter in model.named_parameters() if id(parameter) in ids}


@pytest.mark.parametrize("name", sorted(TRUNKS))
def test_weights_decay_and_biases_and_stitches_do_not(name: str) -> None:
    trunk = TRUNKS[name](5, 3, hidden=(6, 6)) if name == "sluice" else TRUNKS[name](5, 3)
    model = MultiTaskModel(nn.Linear(4, 5), trunk, [binary(n) for n in "abc"], tower_hidden=(4,))
    spared = (".biases.", ".stitches.")
    expected = {
        parameter_name
        for parameter_name, parameter in model.named_parameters()
        if parameter.ndim > 1 and not any(part in parameter_name for part in spared)
    }
    assert decayed(model) == expected


def test_decay_moves_a_cross_stitch_s_layers_and_leaves_its_stitches() -> None:
    trunk = CrossStitch(5, 2, hidden=(6, 4), per_channel=True)
    start = {name: p.detach().clone() for name, p in trunk.named_parameters()}
    for parameter in trunk.parameters():
        parameter.grad = torch.zeros_like(parameter)
    Optimizers(trunk, learning_rate=0.1, weight_decay=0.5).step(0.1)
    shrunk = {n for n, p in trunk.named_parameters() if p.norm() < 0.99 * start[n].norm()}
    assert shrunk == {"networks.first.weight", "networks.weights.0"}


class Scaled(nn.Module):
    """A module of a user's own, whose gains start at 1 and are a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.weight_DD = nn.Parameter(torch.ones(3, 3))
        self.gain_DD = nn.Parameter(torch.ones(3, 3))

    def undecayed(self) -> list[nn.Parameter]:
        return [self.gain_DD]


def test_any_module_says_what_does_not_decay() -> None:
    assert decayed(nn.Sequential(Scaled(), nn.Linear(3, 1))) == {"0.weight_DD", "1.weight"}
