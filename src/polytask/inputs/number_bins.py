"""Numbers in bins, the share of each that lies below the number."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polytask import kernels
from polytask.inputs.fold_layout import Looked
from polytask.inputs.fold_parts import FoldedPart, Lookups

_SOFT_LIMIT = 3.0
"""Deviations from the mean beyond which a clipped value cannot go."""

_FEWEST_BINS = 4
"""Of fewer bins the products are as cheap as two rows of a table."""

_MANY = 1 << 20


class NumericBins(nn.Module):
    """Standardised numbers softly clipped and in bins, and a flag for a missing one.

    A column with edges b_0 < ... < b_K gives K values, the share of each bin that lies below x
    (Gorishniy et al., NeurIPS 2022, eq. 1), and x / sqrt(1 + (x / 3)^2) for what is smooth in x
    (smooth clipping: Holzmueller et al., NeurIPS 2024, RealMLP). A column without edges gives x itself. Missing is 0.
    DIFF: the two outer bins are closed, so an outlier at prediction time cannot explode.

    **Shape** (B, N) with NaN where missing -> (B, out_features).
    """

    def __init__(self, edges: Sequence[Sequence[float]], has_missing: Sequence[bool]) -> None:
        super().__init__()
        plain = [n for n, column in enumerate(edges) if len(column) < 2]
        binned = [
            (n, low, high)
            for n, column in enumerate(edges)
            for low, high in itertools.pairwise(column)
        ]
        soft = [n for n, column in enumerate(edges) if len(column) > 1]
        missing = [n for n, flag in enumerate(has_missing) if flag]
        self.plain: Tensor
        self.soft: Tensor
        self.binned: Tensor
        self.missing: Tensor
        self.low: Tensor
        self.width: Tensor
        self.edges = tuple(map(tuple, edges))
        self._keep("plain", torch.tensor(plain, dtype=torch.long))
        self._keep("soft", torch.tensor(soft, dtype=torch.long))
        self._keep("binned", torch.tensor([n for n, _, _ in binned], dtype=torch.long))
        self._keep("missing", torch.tensor(missing, dtype=torch.long))
        self._keep("low", torch.tensor([low for _, low, _ in binned], dtype=torch.float32))
        self._keep("width", torch.tensor([high - low for _, low, high in binned]).float())
        self.out_features = len(plain) + len(soft) + len(binned) + len(missing)

    def forward(self, numeric_BN: Tensor) -> Tensor:
        known_BN = numeric_BN.nan_to_num(nan=0.0)
        before, after = self._beside_bins(numeric_BN, known_BN)
        if len(self.binned):
            bins_BK = (known_BN[:, self.binned] - self.low) / self.width
            before.append(bins_BK.clamp_(0, 1))
        return torch.cat([*before, *after], dim=1)

    def folded_part(self, most_values: int) -> FoldedPart | None:
        """The bins, where they are worth it."""
        num_bins = max((len(column) - 1 for column in self.edges), default=0)
        is_worth_it = _FEWEST_BINS <= num_bins <= most_values
        return _FoldedBins(self) if is_worth_it and kernels.suits(_MANY, self.low) else None

    def beside_bins(self, numeric_BN: Tensor, known_BN: Tensor) -> Tensor:
        """The features that are no bins."""
        before, after = self._beside_bins(numeric_BN, known_BN)
        parts = [*before, *after]
        return torch.cat(parts, dim=1) if parts else known_BN[:, :0]

    def _beside_bins(
        self, numeric_BN: Tensor, known_BN: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Those before the bins and those after."""
        before, after = [], []
        if len(self.plain):
            before.append(known_BN[:, self.plain])
        if len(self.soft):
            x_BS = known_BN[:, self.soft]
            before.append(x_BS * (1 + (x_BS / _SOFT_LIMIT).square()).rsqrt())
        if len(self.missing):
            after.append(numeric_BN[:, self.missing].isnan().to(numeric_BN.dtype))
        return before, after

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)


class _FoldedBins(FoldedPart):
    """Bins as two looked-up columns a number: the bins below that of the number, which are full, and that one
    times its share. What is looked up are rows of ones and zeros.
    """

    def __init__(self, module: NumericBins) -> None:
        self._module = module
        binned = [column for column in module.edges if len(column) > 1]
        sizes = sorted({len(column) - 1 for column in binned})
        self._tables = tuple(
            torch.cat([torch.ones(size, size).tril(-1), torch.eye(size)]) for size in sizes
        )
        start = len(module.plain) + len(module.soft)
        full, parts = [], []
        for s, column in enumerate(binned):
            size = len(column) - 1
            full.append(Looked(sizes.index(size), 0, size, start, size))
            parts.append(Looked(sizes.index(size), size, size, start, size, share=s))
            start += size
        self.columns = (*full, *parts)
        # The inner edges of each column, and where its bins begin and how wide they are.
        ends = [torch.tensor(column) for column in binned]
        self._inner_SK = _padded([edges[1:-1] for edges in ends], torch.inf)
        self._low_SK = _padded([edges[:-1] for edges in ends], 0.0)
        self._width_SK = _padded([edges.diff() for edges in ends], 1.0)

    @property
    def tables(self) -> tuple[Tensor, ...]:
        return self._tables

    def read(self, values: Tensor) -> Lookups:
        module = self._module
        known_BN = values.nan_to_num(nan=0.0)
        x_SB = known_BN.t()[module.soft].contiguous()
        bins_SB = torch.searchsorted(self._inner_SK, x_SB, right=True)
        share_SB = (x_SB - self._low_SK.gather(1, bins_SB)) / self._width_SK.gather(1, bins_SB)
        bins_BS = bins_SB.t()
        return Lookups(
            torch.cat([bins_BS, bins_BS], dim=1),
            share_SB.clamp_(0, 1).t(),
            module.beside_bins(values, known_BN),
        )


def _padded(rows: Sequence[Tensor], filling: float) -> Tensor:
    return nn.utils.rnn.pad_sequence([*rows], batch_first=True, padding_value=filling)
