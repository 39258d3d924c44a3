"""The vectors of a row's entries -> one vector a row: mean, convolutions, recurrent, transformer.

Each module reads (B, L, K) and which places hold an entry (B, L), entries first. What lies in the
other places changes nothing: a row has the same vector alone as in a batch of longer ones. A row
without entries has a vector all the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.errors import UserError

PoolingName = Literal["mean", "cnn", "lstm", "gru", "transformer"]

KERNEL_WIDTHS = (3, 4, 5)
_STD = 0.02


class MeanPooling(nn.Module):
    """The mean of a row's vectors; zeros for a row that has none.

    **Shape** (B, L, K), (B, L) -> (B, K).

    >>> x_BLK = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> MeanPooling(1)(x_BLK, torch.tensor([[True, True, False]])).tolist()
    [[2.0]]
    """

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.out_features = in_features

    def forward(self, x_BLK: Tensor, is_entry_BL: Tensor) -> Tensor:
        share_BL = is_entry_BL / is_entry_BL.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.bmm(share_BL.unsqueeze(1).to(x_BLK.dtype), x_BLK).squeeze(1)


class ConvolutionPooling(nn.Module):
    """Kim, EMNLP 2014, eq. 2-4: filters over windows of 3, 4 and 5 entries, and the largest value of each.

    A window begins at every entry; beyond the last one are zeros, so that a short row has windows too.
    DIFF: dropout and the bound on the last layer's weights are the model's business.

    Paper: https://arxiv.org/abs/1408.5882

    **Shape** (B, L, K), (B, L) -> (B, out_features).

    >>> pooling = ConvolutionPooling(6, 30)
    >>> pooling(torch.ones(2, 4, 6), torch.ones(2, 4, dtype=torch.bool)).shape
    torch.Size([2, 30])
    """

    def __init__(
        self, in_features: int, out_features: int, kernel_widths: Sequence[int] = KERNEL_WIDTHS
    ) -> None:
        super().__init__()
        self.out_features = out_features
        number = out_features // len(kernel_widths)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(in_features, number, width, padding=width - 1) for width in kernel_widths
        )

    def forward(self, x_BLK: Tensor, is_entry_BL: Tensor) -> Tensor:
        # Copied once into the layout that every convolution reads.
        x_BKL = (x_BLK * is_entry_BL.unsqueeze(-1)).transpose(1, 2).contiguous()
        is_outside_B1L = ~is_entry_BL.unsqueeze(1)
        length = x_BLK.shape[1]
        # The last windows are those that begin at an entry.
        found = [
            convolution(x_BKL)[..., -length:].masked_fill(is_outside_B1L, -torch.inf).amax(dim=2)
            for convolution in self.convolutions
        ]
        # The ReLU of the largest is the largest ReLU; of a row without a window it is 0.
        return torch.cat(found, dim=1).relu()


class RecurrentPooling(nn.Module):
    """The largest value of each coordinate among the states of an LSTM (Hochreiter and Schmidhuber,
    Neural Computation 1997) or a GRU (Cho et al., EMNLP 2014), as in Conneau et al., EMNLP 2017, eq. 3-4.

    Zeros for a row without entries. DIFF: read in one direction only. The last state alone forgets
    what stood first.

    Paper: https://arxiv.org/abs/1705.02364

    **Shape** (B, L, K), (B, L) -> (B, out_features).

    >>> pooling = RecurrentPooling(nn.GRU(6, 8, batch_first=True))
    >>> pooling(torch.ones(2, 4, 6), torch.ones(2, 4, dtype=torch.bool)).shape
    torch.Size([2, 8])
    """

    def __init__(self, recurrent: nn.LSTM | nn.GRU) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.out_features = recurrent.hidden_size

    def forward(self, x_BLK: Tensor, is_entry_BL: Tensor) -> Tensor:
        states_BLH: Tensor = self.recurrent(x_BLK)[0]
        # States lie between -1 and 1.
        largest_BH = states_BLH.masked_fill(~is_entry_BL.unsqueeze(-1), -1.0).amax(dim=1)
        return largest_BH * is_entry_BL.any(dim=1, keepdim=True)


class TransformerPooling(nn.Module):
    """The mean over a row's entries of what transformer layers (Vaswani et al., NeurIPS 2017) make of them.

    DIFF: normalisation before each part (Xiong et al., ICML 2020), which trains without a warm-up of
    its own, and learned positions.

    Paper: https://arxiv.org/abs/1706.03762

    **Shape** (B, L, K), (B, L) -> (B, K), with L at most `longest`.

    >>> pooling = TransformerPooling(8, longest=4)
    >>> pooling(torch.ones(2, 3, 8), torch.ones(2, 3, dtype=torch.bool)).shape
    torch.Size([2, 8])
    """

    def __init__(
        self,
        width: int,
        *,
        longest: int,
        num_layers: int = 1,
        num_heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.out_features = width
        self.positions = nn.Embedding(longest, width)
        nn.init.normal_(self.positions.weight, std=_STD)
        self.layers = nn.ModuleList(
            TransformerLayer(width, num_heads=num_heads, dropout=dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.mean = MeanPooling(width)

    def forward(self, x_BLK: Tensor, is_entry_BL: Tensor) -> Tensor:
        x_BLK = x_BLK + self.positions.weight[: x_BLK.shape[1]]
        # Softmax needs a place even in a row that has no entry; the mean then leaves it out.
        is_first_L = torch.arange(x_BLK.shape[1], device=x_BLK.device) == 0
        is_seen_BL = is_entry_BL | is_first_L
        for layer in self.layers:
            x_BLK = layer(x_BLK, is_seen_BL)
        pooled_BK: Tensor = self.mean(self.norm(x_BLK), is_entry_BL)
        return pooled_BK


class TransformerLayer(nn.Module):
    """Attention among the entries of a row, and a perceptron of four times the width on each.

    **Shape** (B, L, K), (B, L) -> (B, L, K).

    >>> layer = TransformerLayer(8, num_heads=2)
    >>> layer(torch.ones(2, 3, 8), torch.ones(2, 3, dtype=torch.bool)).shape
    torch.Size([2, 3, 8])
    """

    def __init__(self, width: int, *, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_in, self.attention_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x_BLK: Tensor, is_seen_BL: Tensor) -> Tensor:
        x_BLK = x_BLK + self._dropped(self._attention(self.attention_norm(x_BLK), is_seen_BL))
        return x_BLK + self._dropped(self.perceptron(self.norm(x_BLK)))

    def _attention(self, x_BLK: Tensor, is_seen_BL: Tensor) -> Tensor:
        heads = self.attention_in(x_BLK).unflatten(-1, (3, self.num_heads, -1)).unbind(dim=2)
        query, key, value = (head.transpose(1, 2) for head in heads)
        mask_B11L = is_seen_BL[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask_B11L)
        attended_BLK: Tensor = self.attention_out(mixed.transpose(1, 2).flatten(2))
        return attended_BLK

    def _dropped(self, x_BLK: Tensor) -> Tensor:
        return functional.dropout(x_BLK, self.dropout, self.training)


@dataclass(frozen=True, slots=True)
class Pooling:
    """Which module, and its sizes; `width` is that of its vector, but for the mean's."""

    name: PoolingName
    width: int
    num_layers: int = 1
    num_heads: int = 4
    kernel_widths: tuple[int, ...] = KERNEL_WIDTHS
    dropout: float = 0.0

    def __post_init__(self) -> None:
        sizes = (self.width, self.num_layers, self.num_heads, *self.kernel_widths)
        if min(sizes) < 1 or not self.kernel_widths or not 0 <= self.dropout < 1:
            raise UserError(f"sizes must be positive and dropout below 1, but {self}")
        if self.name == "cnn" and self.width % len(self.kernel_widths):
            raise UserError(
                f"width={self.width} does not part into filters of {len(self.kernel_widths)} widths: "
                f"take a multiple of {len(self.kernel_widths)}"
            )
        if self.name == "transformer" and self.width % self.num_heads:
            raise UserError(f"width={self.width} is not a multiple of num_heads={self.num_heads}")

    def module(self, in_features: int, *, longest: int) -> nn.Module:
        """A fresh module for vectors of `in_features` numbers and rows of at most `longest`.

        >>> Pooling("gru", 16).module(8, longest=5).out_features
        16
        """
        return _POOLINGS[self.name](self, in_features, longest)

    def out_features(self, in_features: int) -> int:
        """The width of the module's vector."""
        return in_features if self.name == "mean" else self.width


def _recurrent(
    kind: type[nn.LSTM] | type[nn.GRU], sizes: Pooling, in_features: int, longest: int
) -> nn.Module:
    # Between layers, of which one alone has none.
    dropout = sizes.dropout if sizes.num_layers > 1 else 0.0
    return RecurrentPooling(
        kind(in_features, sizes.width, sizes.num_layers, batch_first=True, dropout=dropout)
    )


def _transformer(sizes: Pooling, in_features: int, longest: int) -> nn.Module:
    pooling = TransformerPooling(
        sizes.width,
        longest=longest,
        num_layers=sizes.num_layers,
        num_heads=sizes.num_heads,
        dropout=sizes.dropout,
    )
    return pooling if in_features == sizes.width else Widened(in_features, pooling)


class Widened(nn.Module):
    """A linear map to a pooling's width before it, without which its layers would be as narrow as x.

    **Shape** (B, L, K), (B, L) -> (B, out_features).

    >>> widened = Widened(3, MeanPooling(8))
    >>> widened(torch.ones(2, 4, 3), torch.ones(2, 4, dtype=torch.bool)).shape
    torch.Size([2, 8])
    """

    def __init__(self, in_features: int, pooling: "TransformerPooling | MeanPooling") -> None:
        super().__init__()
        self.out_features = pooling.out_features
        self.widen = nn.Linear(in_features, pooling.out_features)
        self.pooling = pooling

    def forward(self, x_BLK: Tensor, is_entry_BL: Tensor) -> Tensor:
        pooled_BH: Tensor = self.pooling(self.widen(x_BLK), is_entry_BL)
        return pooled_BH


_POOLINGS: Mapping[PoolingName, Callable[[Pooling, int, int], nn.Module]] = {
    "mean": lambda sizes, in_features, longest: MeanPooling(in_features),
    "cnn": lambda sizes, in_features, longest: ConvolutionPooling(
        in_features, sizes.width, sizes.kernel_widths
    ),
    "lstm": partial(_recurrent, nn.LSTM),
    "gru": partial(_recurrent, nn.GRU),
    "transformer": _transformer,
}
