"""The words of a sentence -> a vector for each word that knows the words around it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.inputs.sequence_encoder import PaddedEmbedding
from polytask.inputs.sequence_padding import PADDING, cut, lengths_of

ContextName = Literal["lstm", "gru", "cnn", "none"]


class WordEncoder(nn.Module):
    """Each word's parts (the word, its ends, its shape) as vectors side by side, read with its neighbours.

    What stands behind a sentence's end changes nothing: a sentence alone has the vectors that it has in a
    batch. `dropout` is that of the words' vectors and of what is made of them.

    **Shape** ids (B, P, L), 0 behind a sentence's end -> (W, out_features), W the number of all words.

    >>> encoder = WordEncoder([10, 5], [6, 2], context="none", width=0)
    >>> encoder(torch.tensor([[[4, 2, 0], [1, 1, 0]], [[3, 0, 0], [2, 0, 0]]])).shape
    torch.Size([3, 8])
    """

    def __init__(
        self,
        num_ids: Sequence[int],
        widths: Sequence[int],
        *,
        context: ContextName,
        width: int,
        num_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tables = nn.ModuleList(PaddedEmbedding(n, k) for n, k in zip(num_ids, widths))
        self.context = _context(context, sum(widths), width, num_layers, dropout)
        self.out_features = sum(widths) if self.context is None else width
        self.dropout = dropout

    def forward(self, ids_BPL: Tensor) -> Tensor:
        ids_BL = cut(ids_BPL[:, 0])
        parts = [table(ids_BPL[:, p, : ids_BL.shape[1]]) for p, table in enumerate(self.tables)]
        x_BLK = self._dropped(torch.cat(parts, dim=2))
        if self.context is not None:
            x_BLK = self._dropped(self.context(x_BLK, lengths_of(ids_BL)))
        return x_BLK[ids_BL != PADDING]

    def _dropped(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training) if self.dropout else x


class BothWays(nn.Module):
    """Recurrent networks from either side, half of the width each, layer upon layer.

    Source: Graves and Schmidhuber, Neural Networks 2005; for tagging Plank, Soegaard and Goldberg, ACL
    2016 (https://arxiv.org/abs/1604.05529).

    **Shape** (B, L, K), lengths (B,) -> (B, L, width).

    >>> both = BothWays(nn.GRU, 6, 8, num_layers=2)
    >>> both(torch.ones(3, 4, 6), torch.tensor([4, 1, 0])).shape
    torch.Size([3, 4, 8])
    """

    def __init__(
        self,
        kind: type[nn.LSTM] | type[nn.GRU],
        in_features: int,
        width: int,
        *,
        num_layers: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [in_features, *[width] * (num_layers - 1)]
        self.forwards, self.backwards = (
            nn.ModuleList(kind(each, width // 2, batch_first=True) for each in widths)
            for _ in range(2)
        )
        self.width, self.dropout = width, dropout

    def forward(self, x_BLK: Tensor, lengths_B: Tensor) -> Tensor:
        if not len(x_BLK):
            return x_BLK.new_zeros(*x_BLK.shape[:2], self.width)
        # Turned round by hand: torch's packed sequences take twice the time on a CPU.
        turned_BL1 = _turned(lengths_B, x_BLK.shape[1])[..., None]
        for layer, (there, back) in enumerate(zip(self.forwards, self.backwards)):
            if layer and self.dropout:
                x_BLK = functional.dropout(x_BLK, self.dropout, self.training)
            reversed_BLK = x_BLK.gather(1, turned_BL1.expand_as(x_BLK))
            backward_BLH: Tensor = back(reversed_BLK)[0]
            backward_BLH = backward_BLH.gather(1, turned_BL1.expand_as(backward_BLH))
            x_BLK = torch.cat([there(x_BLK)[0], backward_BLH], dim=2)
        return x_BLK


def _turned(lengths_B: Tensor, longest: int) -> Tensor:
    """Where the words stand if each sentence is read from its end; what is behind the end stays (B, L)."""
    places_L = torch.arange(longest, device=lengths_B.device)
    ends_B1 = lengths_B[:, None]
    return torch.where(places_L < ends_B1, ends_B1 - 1 - places_L, places_L)


class Windows(nn.Module):
    """Each word with the two on either side, once a layer: zeros stand before the first and behind the last.

    Source: Collobert et al., JMLR 2011, section 3.3. DIFF: what comes in is added to what goes out where the
    widths allow.

    Paper: https://www.jmlr.org/papers/v12/collobert11a.html

    **Shape** (B, L, K), lengths (B,) -> (B, L, width).
    """

    def __init__(self, in_features: int, width: int, num_layers: int) -> None:
        super().__init__()
        widths = [in_features, *[width] * num_layers]
        self.layers = nn.ModuleList(nn.Conv1d(i, o, 5, padding=2) for i, o in pairwise(widths))

    def forward(self, x_BLK: Tensor, lengths_B: Tensor) -> Tensor:
        places_L = torch.arange(x_BLK.shape[1], device=x_BLK.device)
        is_word_BL1 = (places_L < lengths_B[:, None])[..., None]
        for layer in self.layers:
            found_BLK = layer((x_BLK * is_word_BL1).transpose(1, 2)).transpose(1, 2).relu()
            x_BLK = x_BLK + found_BLK if x_BLK.shape == found_BLK.shape else found_BLK
        return x_BLK


def _context(
    name: ContextName, in_features: int, width: int, num_layers: int, dropout: float
) -> nn.Module | None:
    if name == "none":
        return None
    if name == "cnn":
        return Windows(in_features, width, num_layers)
    kind = nn.LSTM if name == "lstm" else nn.GRU
    return BothWays(kind, in_features, width, num_layers=num_layers, dropout=dropout)
