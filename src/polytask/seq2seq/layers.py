"""Attention, and the layers of an encoder and a decoder (Vaswani et al., NeurIPS 2017)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class KeysValues(NamedTuple):
    """What attention reads: keys and values, (B, heads, L, K / heads) each."""

    keys: Tensor
    values: Tensor

    def behind(self, earlier: "KeysValues") -> "KeysValues":
        """These places after the earlier ones."""
        return KeysValues(*(torch.cat(pair, dim=2) for pair in zip(earlier, self)))

    def rows(self, index_N: Tensor) -> "KeysValues":
        """Those of some rows."""
        return KeysValues(*(each[index_N] for each in self))


class Attention(nn.Module):
    """Scaled dot-product attention with several heads: eq. 1 and section 3.2.2.

    Paper: https://arxiv.org/abs/1706.03762

    **Shape** x (B, T, K), keys and values of L places, hidden (B, 1, 1, L) true where a place may
    not be read -> (B, T, K).

    >>> attention = Attention(8, num_heads=2)
    >>> y_BLK = torch.ones(3, 5, 8)
    >>> attention(torch.ones(3, 4, 8), attention.keys_values(y_BLK)).shape
    torch.Size([3, 4, 8])
    """

    def __init__(self, width: int, *, num_heads: int) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(
                f"the width must be a multiple of the heads, but {width=}, {num_heads=}"
            )
        self.num_heads = num_heads
        self.queries, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.read = nn.Linear(width, 2 * width)

    def keys_values(self, y_BLK: Tensor) -> KeysValues:
        """What this attention reads of y (B, L, K)."""
        both = self.read(y_BLK).unflatten(-1, (2, self.num_heads, -1)).unbind(dim=2)
        return KeysValues(*(each.transpose(1, 2) for each in both))

    def forward(self, x_BTK: Tensor, seen: KeysValues, *, hidden: Tensor | None = None) -> Tensor:
        """`hidden` is true, (B, 1, 1, L) or (T, L), where a place is not to be read."""
        # Of short rows torch's fused attention has a backward pass of three times the cost on CPUs.
        mixed = self._weights(x_BTK, seen, hidden).to(seen.values.dtype) @ seen.values
        attended_BTK: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return attended_BTK

    def _weights(self, x_BTK: Tensor, seen: KeysValues, hidden: Tensor | None) -> Tensor:
        queries = self.queries(x_BTK).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        scores = queries * queries.shape[-1] ** -0.5 @ seen.keys.transpose(2, 3)
        if hidden is not None:
            scores = scores.masked_fill(hidden, -torch.inf)
        weights: Tensor = scores.softmax(dim=-1)
        return weights


class Perceptron(nn.Sequential):
    """Two linear maps with a ReLU between them: eq. 2.

    **Shape** (..., width) -> (..., width).
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width))


class RowDropout(nn.Module):
    """Dropout of the same entries at all places of a row.

    Source: Gal and Ghahramani, NeurIPS 2016. A draw for each place would be a seventh of a training
    step on a CPU.

    Paper: https://arxiv.org/abs/1512.05287

    **Shape** (B, L, K) -> (B, L, K).

    >>> dropped = RowDropout(0.5)(torch.ones(2, 3, 8))
    >>> bool((dropped == dropped[:, :1]).all())
    True
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"a dropout of {rate} is not in [0, 1)")
        self.rate = rate

    def forward(self, x_BLK: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x_BLK
        mask_B1K = torch.rand(x_BLK[:, :1].shape, device=x_BLK.device) >= self.rate
        return x_BLK * (mask_B1K / (1 - self.rate)).to(x_BLK.dtype)


class EncoderLayer(nn.Module):
    """Attention among all places, then a perceptron on each, with what comes in added to what goes out.

    DIFF: normalisation before each part (Xiong et al., ICML 2020), which trains at high rates.

    **Shape** (B, L, K), hidden (B, 1, 1, L) -> (B, L, K).
    """

    def __init__(self, width: int, *, inner: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention, self.perceptron = (
            Attention(width, num_heads=num_heads),
            Perceptron(width, inner),
        )
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = RowDropout(dropout)

    def forward(self, x_BLK: Tensor, hidden_B11L: Tensor) -> Tensor:
        normal_BLK = self.attention_norm(x_BLK)
        seen = self.attention.keys_values(normal_BLK)
        x_BLK = x_BLK + self.dropout(self.attention(normal_BLK, seen, hidden=hidden_B11L))
        added_BLK: Tensor = x_BLK + self.dropout(self.perceptron(self.norm(x_BLK)))
        return added_BLK


class DecoderLayer(nn.Module):
    """As an encoder's layer, but each place sees those before it alone, and all of the source.

    **Shape** x (B, T, K), the source's keys and values, hidden (B, 1, 1, L) -> (B, T, K) and this
    layer's own keys and values, those of `past` among them.
    """

    def __init__(self, width: int, *, inner: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.own, self.source = (Attention(width, num_heads=num_heads) for _ in range(2))
        self.perceptron = Perceptron(width, inner)
        self.own_norm, self.source_norm, self.norm = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = RowDropout(dropout)

    def forward(
        self,
        x_BTK: Tensor,
        source: KeysValues,
        hidden_B11L: Tensor,
        past: KeysValues | None = None,
    ) -> tuple[Tensor, KeysValues]:
        """With a `past` x is the one place behind it."""
        normal_BTK = self.own_norm(x_BTK)
        seen = self.own.keys_values(normal_BTK)
        if past is not None:
            seen = seen.behind(past)
        # Padding stands behind all entries, where no entry sees it.
        later = None if past is not None else _later(x_BTK.shape[1], x_BTK.device)
        x_BTK = x_BTK + self.dropout(self.own(normal_BTK, seen, hidden=later))
        read_BTK = self.source(self.source_norm(x_BTK), source, hidden=hidden_B11L)
        x_BTK = x_BTK + self.dropout(read_BTK)
        return x_BTK + self.dropout(self.perceptron(self.norm(x_BTK))), seen


def _later(length: int, device: torch.device) -> Tensor:
    """Which places (T, T) stand behind the one that reads."""
    return torch.ones(length, length, dtype=torch.bool, device=device).triu(1)
