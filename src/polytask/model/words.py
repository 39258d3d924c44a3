"""Labels of words beside the rows that a network makes of them: one a word, sentence after sentence."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional


@runtime_checkable
class ReadsWords(Protocol):
    """An encoder that makes a vector of each word, where the inputs have words."""

    def num_words(self, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """How many words each row has (B,); None where x has a vector a row."""


def at_words(labels_BL: Tensor, num_words_B: Tensor) -> Tensor:
    """The labels of all words, NaN where a row has fewer of them.

    **Shape** (B, L), (B,) -> (W,), W the sum of the words.

    >>> labels_BL = torch.tensor([[1.0, 2.0], [3.0, torch.nan]])
    >>> at_words(labels_BL, torch.tensor([2, 1])).tolist()
    [1.0, 2.0, 3.0]
    """
    num_words_B = num_words_B.to(labels_BL.device)
    longest = int(num_words_B.max()) if len(num_words_B) else 0
    missing = longest - labels_BL.shape[1]
    if missing > 0:
        labels_BL = functional.pad(labels_BL, (0, missing), value=torch.nan)
    places_L = torch.arange(labels_BL.shape[1], device=labels_BL.device)
    return labels_BL[places_L < num_words_B[:, None]]


def mean_of_rows(losses_W: Tensor, is_counted_W: Tensor, num_words_B: Tensor) -> Tensor:
    """The mean over the words of each row that count; 0 for a row without any.

    **Shape** (W,), (W,), (B,) -> (B,).

    >>> is_counted_W = torch.tensor([True, True, False])
    >>> mean_of_rows(torch.tensor([1.0, 2.0, 9.0]), is_counted_W, torch.tensor([2, 1])).tolist()
    [1.5, 0.0]
    """
    rows_W = row_of_words(num_words_B.to(losses_W.device))
    empty_B = losses_W.new_zeros(len(num_words_B))
    sums_B = empty_B.index_add(0, rows_W, losses_W * is_counted_W)
    counts_B = empty_B.index_add(0, rows_W, is_counted_W.to(losses_W.dtype))
    return sums_B / counts_B.clamp(min=1)


def pooled(features_WH: Tensor, num_words_B: Tensor | None) -> Tensor:
    """The mean of the features of each row's words, zeros for a row without any; without words, the features.

    **Shape** (W, H), (B,) -> (B, H).

    >>> pooled(torch.tensor([[1.0], [2.0], [9.0]]), torch.tensor([2, 0, 1])).tolist()
    [[1.5], [0.0], [9.0]]
    """
    if num_words_B is None:
        return features_WH
    num_words_B = num_words_B.to(features_WH.device)
    sums_BH = features_WH.new_zeros(len(num_words_B), features_WH.shape[1])
    sums_BH = sums_BH.index_add(0, row_of_words(num_words_B), features_WH)
    return sums_BH / num_words_B.clamp(min=1)[:, None]


def row_of_words(num_words_B: Tensor) -> Tensor:
    """Which row each word is of.

    **Shape** (B,) -> (W,).

    >>> row_of_words(torch.tensor([2, 0, 1])).tolist()
    [0, 0, 2]
    """
    rows_B = torch.arange(len(num_words_B), device=num_words_B.device)
    return rows_B.repeat_interleave(num_words_B)
