"""Histories in a graph: what was observed of a key before a row's time, looked up in sorted lists."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polytask.inputs import Input
from polytask.inputs.history import KeyHistory, Past
from polytask.inputs.vocabulary import FIRST_ID
from polytask.serving.contract import MISSING_INTEGER
from polytask.serving.graph.columns import Channels
from polytask.serving.graph.raw import Raw, RawNumbers, Reading, lookup_of
from polytask.serving.graph.searching import places_in

_FIRST, _LAST = 315_532_800_000_000, 7_258_118_400_000_000
"""1980 and 2200 in microseconds since 1970: times of a table lie between them, other numbers do not."""


class RawHistory(nn.Module):
    """`KeyHistory.encode`: log(1 + rows) and smoothed means of each key, scaled."""

    def __init__(
        self, one: KeyHistory, pasts: Sequence[nn.Module], *, time: int, is_number: bool
    ) -> None:
        super().__init__()
        self.blocks, self.time, self.is_number = one.blocks, time, is_number
        self.pasts = nn.ModuleList(pasts)
        self.scale = RawNumbers(one.scales.scales)

    def forward(self, raw: Raw) -> Tensor:
        known_B = self._known(raw)
        parts = [past(raw, known_B) for past in self.pasts]
        return self.scale.scaled(torch.cat(parts, dim=1))

    def _known(self, raw: Raw) -> Tensor:
        """How many blocks each row knows."""
        if self.is_number:
            times_B = raw.numbers([self.time])[:, 0]
        else:
            ticks_B = raw.times_BK[:, self.time]
            times_B = torch.where(ticks_B == MISSING_INTEGER, torch.nan, ticks_B.double())
        back_B = ((self.blocks.end - times_B) / self.blocks.width).ceil()
        back_B = torch.where(back_B.isnan(), 0.0, back_B).clamp(0, self.blocks.count)
        return self.blocks.count - back_B.long()


class RawPast(nn.Module):
    """What was observed of one key in the blocks that a row knows."""

    def __init__(self, past: Past, ids: Sequence[int], one: KeyHistory) -> None:
        super().__init__()
        self.ids, self.num_blocks = list(ids), one.blocks.count
        self.sizes = [vocabulary.num_ids for vocabulary in past.vocabularies]
        self.smoothing = one.smoothing
        places, observed = torch.tensor(past.places.array()), torch.tensor(past.observed.array())
        before = torch.cat([observed.new_zeros(1, observed.shape[1]), observed.cumsum(0)])
        self.places_P: Tensor
        self.before_PK: Tensor
        self.means_T: Tensor
        self.register_buffer("places_P", places.long())
        self.register_buffer("before_PK", before.double())
        self.register_buffer("means_T", torch.tensor(one.means, dtype=torch.float64))

    def forward(self, raw: Raw, known_B: Tensor) -> Tensor:
        code_B = torch.zeros_like(known_B)
        unknown_B = torch.zeros_like(known_B, dtype=torch.bool)
        for place, size in zip(self.ids, self.sizes):
            ids_B = raw.ids([place])[:, 0]
            unknown_B = unknown_B | (ids_B < FIRST_ID)
            code_B = code_B * size + ids_B
        first_B = code_B * self.num_blocks
        start_B, stop_B = (places_in(self.places_P, each) for each in (first_B, first_B + known_B))
        seen_BK = self.before_PK[stop_B] - self.before_PK[start_B]
        seen_BK = torch.where(unknown_B[:, None], 0.0, seen_BK)
        labelled_BT, sum_BT = seen_BK[:, 1::2], seen_BK[:, 2::2]
        weight_BT = labelled_BT + self.smoothing
        mean_BT = (sum_BT + self.smoothing * self.means_T) / torch.where(weight_BT > 0, weight_BT, 1.0)
        mean_BT = torch.where(weight_BT > 0, mean_BT, self.means_T)
        return torch.cat([(1 + seen_BK[:, :1]).log(), mean_BT], dim=1)


def of_history(one: Input, channels: Channels, reading: Reading) -> nn.Module:
    assert isinstance(one, KeyHistory)
    # Which of the two the column was is not kept; where numbers count microseconds they are one.
    is_number = not _FIRST <= one.blocks.end < _LAST
    if is_number:
        (time,) = channels.numbers_of([one.time])
    elif one.time in channels.times:
        time = channels.times.index(one.time)
    else:
        time = channels.time_of(one.time, "times", None)
    pasts = [
        RawPast(
            past,
            [
                channels.ids_of(lookup_of(name, vocabulary, reading))
                for name, vocabulary in zip(past.key, past.vocabularies)
            ],
            one,
        )
        for past in one.pasts
    ]
    return RawHistory(one, pasts, time=time, is_number=is_number)
