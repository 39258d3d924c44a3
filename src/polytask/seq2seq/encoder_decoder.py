"""A transformer that reads one sequence and writes another."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.seq2seq.ids import PADDING
from polytask.seq2seq.layers import DecoderLayer, EncoderLayer, KeysValues, RowDropout


class Memory(NamedTuple):
    """What was made of a source: its ids (B, L), its states (B, L, K), and what each decoder layer reads."""

    ids: Tensor
    states: Tensor
    layers: tuple[KeysValues, ...]

    @property
    def hidden(self) -> Tensor:
        """The places that are not read (B, 1, 1, L): all without an id but the first, for softmax needs one."""
        places_L = torch.arange(self.ids.shape[1], device=self.ids.device)
        return ((self.ids == PADDING) & (places_L > 0))[:, None, None, :]

    def rows(self, index_N: Tensor) -> "Memory":
        """That of some rows, of one more than once too."""
        layers = tuple(layer.rows(index_N) for layer in self.layers)
        return Memory(self.ids[index_N], self.states[index_N], layers)


class EncoderDecoder(nn.Module):
    """Vaswani et al., NeurIPS 2017: an encoder, a decoder, and one table of embeddings for both and the output.

    With `copies` the next id may also be one of the source's: p = g p_written + (1 - g) p_copied, by
    attention (See, Liu and Manning, ACL 2017, eq. 8-9). DIFF: g and the attention are of the last
    decoder state alone, without coverage.

    Papers: https://arxiv.org/abs/1706.03762, https://arxiv.org/abs/1704.04368

    **Shape** source ids (B, L), 0 behind the end; the decoder's ids (B, T) -> states (B, T, K).

    >>> model = EncoderDecoder(50, width=16, num_layers=1, num_heads=2)
    >>> memory = model.encode(torch.tensor([[5, 6, 2], [7, 2, 0]]))
    >>> model(torch.tensor([[1, 8], [1, 9]]), memory).shape
    torch.Size([2, 2, 16])
    """

    def __init__(
        self,
        num_ids: int,
        *,
        width: int,
        num_layers: int,
        num_heads: int,
        inner: int | None = None,
        dropout: float = 0.0,
        longest: int = 256,
        copies: bool = False,
    ) -> None:
        super().__init__()
        inner = inner or 4 * width
        self.width, self.longest = width, longest
        self.embeddings = nn.Embedding(num_ids, width)
        nn.init.normal_(self.embeddings.weight, std=width**-0.5)
        self.positions: Tensor
        self.register_buffer("positions", _sines(longest, width), persistent=False)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, inner=inner, num_heads=num_heads, dropout=dropout)
            for _ in range(num_layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, inner=inner, num_heads=num_heads, dropout=dropout)
            for _ in range(num_layers)
        )
        self.source_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = RowDropout(dropout)
        self.copying = Copying(width) if copies else None

    def encode(self, source_BL: Tensor) -> Memory:
        """The source as the decoder reads it; `states` serve other tasks too. ValueError where it is too long."""
        x_BLK = self._embedded(source_BL, 0)
        hidden_B11L = Memory(source_BL, x_BLK, ()).hidden
        for layer in self.encoder:
            x_BLK = layer(x_BLK, hidden_B11L)
        states_BLK = self.source_norm(x_BLK)
        layers = (layer.source.keys_values(states_BLK) for layer in self._decoder_layers())
        return Memory(source_BL, states_BLK, tuple(layers))

    def forward(self, read_BT: Tensor, memory: Memory) -> Tensor:
        """The states that predict what follows each id that was read."""
        return self.step(read_BT, memory, None)[0]

    def step(
        self, read_BT: Tensor, memory: Memory, past: tuple[KeysValues, ...] | None
    ) -> tuple[Tensor, tuple[KeysValues, ...]]:
        """States (B, T, K), and what the next step needs of the past; with a past T is 1."""
        hidden_B11L = memory.hidden
        x_BTK = self._embedded(read_BT, 0 if past is None else past[0].keys.shape[2])
        seen = []
        for place, layer in enumerate(self._decoder_layers()):
            earlier = None if past is None else past[place]
            x_BTK, own = layer(x_BTK, memory.layers[place], hidden_B11L, earlier)
            seen.append(own)
        return self.norm(x_BTK), tuple(seen)

    def logits(self, states: Tensor) -> Tensor:
        """(..., K) -> (..., V): what the vocabulary's embeddings say of the states."""
        return functional.linear(states, self.embeddings.weight)

    def log_probabilities(self, states_BTK: Tensor, memory: Memory) -> Tensor:
        """Logarithms of the probabilities of all ids at each place (B, T, V)."""
        log_p_BTV = self.logits(states_BTK).float().log_softmax(dim=-1)
        return log_p_BTV if self.copying is None else self.copying(log_p_BTV, states_BTK, memory)

    def _decoder_layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.decoder if isinstance(layer, DecoderLayer)]

    def _embedded(self, ids_BL: Tensor, start: int) -> Tensor:
        end = start + ids_BL.shape[1]
        if end > self.longest:
            raise ValueError(f"a sequence of {end} ids is longer than {self.longest=}")
        x_BLK = self.embeddings(ids_BL) * self.width**0.5 + self.positions[start:end]
        dropped_BLK: Tensor = self.dropout(x_BLK)
        return dropped_BLK


class Copying(nn.Module):
    """The choice between writing an id and copying one of the source.

    **Shape** log_p (B, T, V), states (B, T, K) and the source -> log_p (B, T, V).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries, self.keys = nn.Linear(width, width), nn.Linear(width, width)
        self.gate = nn.Linear(width, 1)

    def forward(self, log_p_BTV: Tensor, states_BTK: Tensor, memory: Memory) -> Tensor:
        weights_BTL, log_written_BT1, log_copied_BT1 = self.parts(states_BTK, memory)
        ids_BTL = memory.ids[:, None, :].expand_as(weights_BTL)
        copied_BTV = torch.zeros_like(log_p_BTV).scatter_add(2, ids_BTL, weights_BTL)
        return torch.logaddexp(log_p_BTV + log_written_BT1, _log(copied_BTV) + log_copied_BT1)

    def parts(self, states_BTK: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        """How much of each source id is copied (B, T, L), and log g and log(1 - g) (B, T, 1)."""
        keys_BLK = self.keys(memory.states)
        scores_BTL = (
            self.queries(states_BTK) * keys_BLK.shape[-1] ** -0.5 @ keys_BLK.transpose(1, 2)
        )
        hidden_B1L = memory.hidden[:, 0]
        weights_BTL = scores_BTL.float().masked_fill(hidden_B1L, -torch.inf).softmax(dim=-1)
        gate_BT1 = self.gate(states_BTK).float()
        return weights_BTL, functional.logsigmoid(gate_BT1), functional.logsigmoid(-gate_BT1)


_SMALLEST = 1e-20


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.clamp(min=_SMALLEST).log()


def _sines(longest: int, width: int) -> Tensor:
    """Section 3.5: sines and cosines of wavelengths from 2 pi to 20,000 pi."""
    rates = torch.exp(torch.arange(0, width, 2) * (-torch.log(torch.tensor(1e4)) / width))
    angles = torch.arange(longest)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]
