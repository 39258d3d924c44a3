"""What a decoder writes: the likeliest sequence, as far as a beam finds it."""

from typing import NamedTuple

import torch
from torch import Tensor

from polytask.seq2seq.encoder_decoder import EncoderDecoder, Memory
from polytask.seq2seq.ids import BEGIN, END, PADDING
from polytask.seq2seq.layers import KeysValues


class Found(NamedTuple):
    """The sequence of each row without END, and its log-probability."""

    sequences: list[list[int]]
    log_p_B: Tensor


class _Beams(NamedTuple):
    """W sequences a row: ids (B, W, t), log-probabilities (B, W), and the decoder's past of all."""

    ids: Tensor
    scores: Tensor
    past: tuple[KeysValues, ...]


@torch.inference_mode()
def beam_search(
    model: EncoderDecoder,
    source_BL: Tensor,
    *,
    beam_size: int = 4,
    max_length: int = 64,
    length_penalty: float = 1.0,
) -> Found:
    """The best of `beam_size` sequences a row that are extended side by side; 1 is the greedy choice.

    Sequences are compared by log p / length^`length_penalty` at the end, by log p on the way; END
    counts as an id, and is forced at `max_length`. Sequences that have ended keep their place.

    Source: Wu et al., 2016, section 7. DIFF: the plain power of the length; no coverage.

    Paper: https://arxiv.org/abs/1609.08144

    >>> model = EncoderDecoder(50, width=16, num_layers=1, num_heads=2).eval()
    >>> found = beam_search(model, torch.tensor([[5, 6, 2], [7, 2, 0]]), max_length=5)
    >>> len(found.sequences), max(map(len, found.sequences)) < 5
    (2, True)
    """
    if beam_size < 1 or max_length < 1:
        raise ValueError(f"{beam_size=} and {max_length=} must be positive")
    was_training = model.training
    model.eval()
    try:
        memory = model.encode(source_BL)
        rows_N = torch.arange(len(source_BL), device=source_BL.device)
        memory = memory.rows(rows_N.repeat_interleave(beam_size))
        beams = _begin(model, memory, beam_size)
        for length in range(1, max_length):
            if bool((beams.ids[:, :, -1] <= END).all()):
                break
            beams = _extended(model, memory, beams, must_end=length == max_length - 1)
    finally:
        model.train(was_training)
    return _best(beams, length_penalty)


def _begin(model: EncoderDecoder, memory: Memory, beam_size: int) -> _Beams:
    """The likeliest first ids: all beams of a row are one before them."""
    begin_N1 = torch.full_like(memory.ids[:, :1], BEGIN)
    log_p_NV, past = _next(model, begin_N1, memory, None)
    log_p_BV = log_p_NV[::beam_size]
    width = min(beam_size, int(log_p_BV.isfinite().sum(dim=1).min()))
    scores_BW, ids_BW = log_p_BV.topk(width, dim=1)
    missing = beam_size - width
    # Where the vocabulary has fewer ids than the beam has places, the rest is out of the race.
    scores_BW = torch.nn.functional.pad(scores_BW, (0, missing), value=-torch.inf)
    ids_BW = torch.nn.functional.pad(ids_BW, (0, missing), value=END)
    return _Beams(ids_BW[:, :, None], scores_BW, past)


def _extended(model: EncoderDecoder, memory: Memory, beams: _Beams, *, must_end: bool) -> _Beams:
    num_rows, size, _ = beams.ids.shape
    last_N = beams.ids[:, :, -1].flatten()
    log_p_NV, past = _next(model, last_N[:, None], memory, beams.past)
    num_ids = log_p_NV.shape[1]
    if must_end:
        log_p_NV = _only(log_p_NV, END, log_p_NV[:, END])
    # A sequence that has ended goes on as it is, at no cost.
    has_ended_N = last_N <= END
    log_p_NV = torch.where(
        has_ended_N[:, None], _only(log_p_NV, PADDING, torch.zeros_like(log_p_NV[:, 0])), log_p_NV
    )
    scores_BX = (beams.scores[:, :, None] + log_p_NV.view(num_rows, size, num_ids)).flatten(1)
    scores_BW, chosen_BW = scores_BX.topk(size, dim=1)
    from_BW = chosen_BW // num_ids
    ids_BWt = beams.ids.gather(1, from_BW[:, :, None].expand(-1, -1, beams.ids.shape[2]))
    ids_BWt = torch.cat([ids_BWt, (chosen_BW % num_ids)[:, :, None]], dim=2)
    first_B1 = torch.arange(num_rows, device=from_BW.device)[:, None] * size
    index_N = (first_B1 + from_BW).flatten()
    return _Beams(ids_BWt, scores_BW, tuple(layer.rows(index_N) for layer in past))


def _next(
    model: EncoderDecoder, read_N1: Tensor, memory: Memory, past: tuple[KeysValues, ...] | None
) -> tuple[Tensor, tuple[KeysValues, ...]]:
    """Log-probabilities of the next ids (N, V); of PADDING and BEGIN there are none."""
    states_N1K, past = model.step(read_N1, memory, past)
    log_p_NV = model.log_probabilities(states_N1K, memory)[:, 0]
    log_p_NV[:, [PADDING, BEGIN]] = -torch.inf
    return log_p_NV, past


def _only(log_p_NV: Tensor, kept: int, values_N: Tensor) -> Tensor:
    only_NV = torch.full_like(log_p_NV, -torch.inf)
    only_NV[:, kept] = values_N
    return only_NV


def _best(beams: _Beams, length_penalty: float) -> Found:
    lengths_BW = (beams.ids != PADDING).sum(dim=2)
    best_B1 = (beams.scores / lengths_BW**length_penalty).argmax(dim=1, keepdim=True)
    ids_Bt = beams.ids.gather(1, best_B1[:, :, None].expand(-1, -1, beams.ids.shape[2]))[:, 0]
    sequences = [[i for i in row if i > END] for row in ids_Bt.tolist()]
    return Found(sequences, beams.scores.gather(1, best_B1)[:, 0])
