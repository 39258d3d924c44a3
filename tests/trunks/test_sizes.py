"""Counting parameters, and the width at which two networks are of one size."""

import pytest
import torch
from torch import nn

from polytask.trunks import (
    MMoE,
    SharedBottom,
    Trunk,
    mlp,
    num_parameters,
    parameter_matched,
)

TOWER = (8,)


def paper_model(trunk: Trunk) -> nn.ModuleList:
    """A trunk and two towers of one layer of 8, as in section 5.1 of the MMoE paper."""
    return nn.ModuleList([trunk, *(mlp(trunk.out_features, TOWER) for _ in range(2))])


def papers_count(model: nn.Module) -> int:
    """Weights only; gates, biases and output layers are left out."""
    weights = [p for name, p in model.named_parameters() if "gate" not in name and p.ndim > 1]
    return sum(weight.numel() for weight in weights)


def test_the_recipe_of_the_mmoe_paper() -> None:
    mmoe = paper_model(MMoE(100, 2, num_experts=8, expert_hidden=(16,)))
    assert papers_count(mmoe) == 13056
    width = parameter_matched(
        lambda width: paper_model(SharedBottom(100, 2, hidden=(width,))), 13056, count=papers_count
    )
    assert width == 113


def test_a_parameter_used_twice_counts_once() -> None:
    linear = nn.Linear(3, 3)
    assert num_parameters(nn.Sequential(linear, linear)) == 12


def make(width: int) -> nn.Module:
    return nn.Linear(9, width)  # 10 parameters for each unit


@pytest.mark.parametrize(
    ("budget", "width"), [(10, 1), (14, 1), (15, 1), (16, 2), (20, 2), (1000, 100), (994, 99)]
)
def test_the_nearest_width(budget: int, width: int) -> None:
    """Of two widths that miss by as much the smaller."""
    assert parameter_matched(make, budget) == width


def test_only_the_given_widths() -> None:
    assert parameter_matched(make, 500, widths=range(8, 129, 8)) == 48
    assert parameter_matched(make, 80, widths=range(8, 9)) == 8


def test_the_search_tries_few_networks_and_leaves_the_random_state_alone() -> None:
    tried = []

    def remember(width: int) -> nn.Module:
        tried.append(width)
        return make(width)

    before = torch.get_rng_state()
    assert parameter_matched(remember, 123_450) == 12345
    assert len(tried) < 25
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("budget", [9, 1001])
def test_a_budget_out_of_reach_is_refused(budget: int) -> None:
    with pytest.raises(ValueError, match="out of reach: widths from 1 to 100 have 10 to 1,000"):
        parameter_matched(make, budget, widths=range(1, 101))


@pytest.mark.parametrize("widths", [range(5, 1), range(9), range(9, 1, -1)])
def test_widths_that_do_not_rise_are_refused(widths: range) -> None:
    with pytest.raises(ValueError, match="rising range of positive widths"):
        parameter_matched(make, 50, widths=widths)
