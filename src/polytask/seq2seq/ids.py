"""The ids that every vocabulary of sequences begins with, and ids as padded tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

PADDING, BEGIN, END, UNKNOWN = 0, 1, 2, 3
FIRST_ID = 4
"""Ids from here on are the vocabulary's own."""


def padded_ids(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids as one tensor, with zeros behind the shorter ones.

    **Shape** B lists -> (B, L), with L at least 1.

    >>> padded_ids([[5, 6, 2], [7]]).tolist()
    [[5, 6, 2], [7, 0, 0]]
    """
    longest = max(1, *(len(row) for row in rows), 1)
    ids_BL = torch.full((len(rows), longest), PADDING, dtype=torch.long)
    for place, row in enumerate(rows):
        ids_BL[place, : len(row)] = torch.tensor(row, dtype=torch.long)
    return ids_BL


def begun(target_BT: Tensor) -> Tensor:
    """What a decoder reads while it is to predict the target: BEGIN, and all but the last place.

    **Shape** (B, T) -> (B, T).

    >>> begun(torch.tensor([[5, 6, 2]])).tolist()
    [[1, 5, 6]]
    """
    return torch.cat([torch.full_like(target_BT[:, :1], BEGIN), target_BT[:, :-1]], dim=1)
