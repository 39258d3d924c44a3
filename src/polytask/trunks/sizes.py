"""The number of parameters of a network, and the width at which two networks are of one size."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import nn

Count: TypeAlias = Callable[[nn.Module], int]


def num_parameters(module: nn.Module) -> int:
    """All numbers that are learned; a parameter that is used twice counts once.

    >>> num_parameters(nn.Linear(5, 3))
    18
    """
    return sum(parameter.numel() for parameter in module.parameters())


def parameter_matched(
    make: Callable[[int], nn.Module],
    budget: int,
    *,
    widths: range = range(1, 65537),
    count: Count = num_parameters,
) -> int:
    """The width of `widths` at which `make(width)` is nearest to `budget`; of two, the smaller.

    `count` says what is counted and must grow with the width; the MMoE paper leaves out gates,
    biases and the output layers (Ma et al., KDD 2018, section 5.1). The networks are made without
    memory (on torch's meta device) and draw no random numbers.

    Raises ValueError if no width lies at or above the budget, or none at or below it.

    >>> parameter_matched(lambda width: nn.Linear(5, width), budget=100)
    17
    """
    if not widths or widths.step < 1 or widths.start < 1:
        raise ValueError(f"widths must be a rising range of positive widths, but {widths=}")

    def size(position: int) -> int:
        with torch.device("meta"):
            return count(make(widths[position]))

    low, high = 0, len(widths) - 1
    smallest, largest = size(low), size(high)
    if not smallest <= budget <= largest:
        raise ValueError(
            f"the budget of {budget:,} parameters is out of reach: widths from {widths[low]} to "
            f"{widths[high]} have {smallest:,} to {largest:,}; give other widths"
        )
    # The sizes at `low` and `high` always enclose the budget.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) <= budget else (low, middle)
    return widths[low if budget - size(low) <= size(high) - budget else high]
