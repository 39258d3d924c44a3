"""Places of values in sorted lists by halving, of operators that every graph has."""

import torch
from torch import Tensor


def places_in(sorted_V: Tensor, values: Tensor, *, right: bool = False) -> Tensor:
    """`torch.searchsorted`, which ONNX lacks: how many entries are smaller (`right`: or equal).

    **Shape** (V,) and values of any shape, or (R, V) and (B, R), a list for each column -> that of the values.

    >>> places_in(torch.tensor([1, 3, 3, 8]), torch.tensor([0, 3, 9])).tolist()
    [0, 1, 4]
    >>> places_in(torch.tensor([[1, 3], [5, 6]]), torch.tensor([[3, 9]]), right=True).tolist()
    [[2, 2]]
    """
    size = sorted_V.shape[-1]
    places = torch.zeros_like(values, dtype=torch.int64)
    for bit in reversed(range(size.bit_length())):
        probe = places + (1 << bit)
        # Beyond the end nothing is smaller: the last entry is looked at, and not counted.
        entry = entries_of(sorted_V, (probe - 1).clamp(max=size - 1))
        is_below = (entry <= values) if right else (entry < values)
        places = torch.where((probe <= size) & is_below, probe, places)
    return places


def entries_of(lists: Tensor, places: Tensor) -> Tensor:
    """The entries at places of one list (V,), or of one for each column (R, V)."""
    if lists.ndim == 1:
        return lists[places]
    starts_R = torch.arange(lists.shape[0]) * lists.shape[1]
    return lists.flatten()[places + starts_R]
