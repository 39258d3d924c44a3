"""Places of values in sorted lists by halving, of operators that every graph has."""

import torch
from torch import Tensor


def places_in(sorted_V: Tensor, values: Tensor, *, right: bool = False) -> Tensor:
    """`torch.searchsorted`, which ONNX lacks: how many entries are smaller (`right`: or equal).

    >>> places_in(torch.tensor([1, 3, 3, 8]), torch.tensor([0, 3, 9])).tolist()
    [0, 1, 4]
    >>> places_in(torch.tensor([1, 3, 3, 8]), torch.tensor([0, 3, 9]), right=True).tolist()
    [0, 3, 4]
    """
    size = sorted_V.shape[0]
    places = torch.zeros_like(values, dtype=torch.int64)
    for bit in reversed(range(size.bit_length())):
        probe = places + (1 << bit)
        # Beyond the end nothing is smaller: the last entry is looked at, and not counted.
        entry = sorted_V[(probe - 1).clamp(max=size - 1)]
        is_below = (entry <= values) if right else (entry < values)
        places = torch.where((probe <= size) & is_below, probe, places)
    return places
