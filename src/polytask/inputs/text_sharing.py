"""Several columns of text in one model: which share an encoder, and which two are compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polytask.errors import UserError, nearest
from polytask.inputs.input import Feature


@dataclass(frozen=True, slots=True)
class Sharing:
    """The columns of each encoder, by place, and the two of a pair, which have one encoder.

    >>> sharing = Sharing.of(["title", "question", "answer"], pair=("question", "answer"))
    >>> sharing.groups, sharing.pair
    (((0,), (1, 2)), (1, 2))
    """

    groups: tuple[tuple[int, ...], ...]
    pair: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        places = sorted(place for group in self.groups for place in group)
        if places != list(range(len(places))):
            raise UserError(f"each column has one encoder, but the groups are {self.groups}")
        if self.pair is not None and not any(set(self.pair) <= set(g) for g in self.groups):
            raise UserError(f"the columns {self.pair} of a pair have one encoder")

    @classmethod
    def of(
        cls,
        columns: Sequence[str],
        *,
        shared: bool | Sequence[str] = False,
        pair: Sequence[str] = (),
    ) -> "Sharing":
        """The columns as the options `shared` and `pair` part them; UserError for a name that is none."""
        if pair and len(set(pair)) != 2:
            raise UserError(f"pair: two different columns are due, but got {', '.join(pair)}")
        together = set(columns) if shared is True else set(shared or ()) | set(pair)
        for name in (*together, *pair):
            if name not in columns:
                raise UserError(f"shared, pair: {name!r} is no such column{nearest(name, columns)}")
        joint = tuple(c for c, name in enumerate(columns) if name in together)
        alone = [(c,) for c, name in enumerate(columns) if name not in together]
        groups = sorted([*alone, *([joint] if joint else [])])
        places = tuple(columns.index(name) for name in pair)
        return cls(tuple(groups), (places[0], places[1]) if places else None)

    def features(self, columns: Sequence[str], width: int, what: str) -> list[Feature]:
        """What `SharedEncoders` makes of the columns, with `width` numbers for each."""
        named = [
            (columns[c], what)
            for c in range(len(columns))
            if self.pair is None or c not in self.pair
        ]
        if self.pair is not None:
            a, b = (columns[c] for c in self.pair)
            named += [(a, what), (b, what), (a, f"distance to {b}"), (a, f"product with {b}")]
        return [
            Feature(column, f"{said} {k + 1} of {width}")
            for column, said in named
            for k in range(width)
        ]


class SharedEncoders(nn.Module):
    """Each column through its group's encoder, side by side; a pair as u, v, |u - v|, u * v.

    The pair's four vectors, which stand last, are those of Conneau et al., EMNLP 2017 (InferSent), fig. 1.

    Paper: https://arxiv.org/abs/1705.02364

    **Shape** (B, C, ...), each encoder (N, ...) -> (N, H) -> (B, C * H), and 2 * H more with a pair.

    >>> both = SharedEncoders([nn.Identity()], Sharing.of(["a", "b"], pair=("a", "b")))
    >>> both(torch.tensor([[[2.0], [5.0]]])).tolist()
    [[2.0, 5.0, 3.0, 10.0]]
    """

    def __init__(self, encoders: Sequence[nn.Module], sharing: Sharing) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.sharing = sharing

    def forward(self, columns_BC: Tensor) -> Tensor:
        vectors: dict[int, Tensor] = {}
        for encoder, group in zip(self.encoders, self.sharing.groups, strict=True):
            if len(group) == 1:
                vectors[group[0]] = encoder(columns_BC[:, group[0]])
                continue
            # As one batch of rows; apart again by column.
            rows = torch.stack([columns_BC[:, c] for c in group], dim=1).flatten(0, 1)
            found_BCH = encoder(rows).unflatten(0, (-1, len(group)))
            vectors |= {c: found_BCH[:, place] for place, c in enumerate(group)}
        pair = self.sharing.pair
        alone = [vectors[c] for c in sorted(vectors) if pair is None or c not in pair]
        compared = [] if pair is None else _compared(*(vectors[c] for c in pair))
        parts = [*alone, *compared]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def _compared(u_BH: Tensor, v_BH: Tensor) -> list[Tensor]:
    return [u_BH, v_BH, (u_BH - v_BH).abs(), u_BH * v_BH]
