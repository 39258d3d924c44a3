"""Histories: what was observed of the same user, item or pair before a row's own time."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from types import MappingProxyType
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from polytask.columns.numbers import numbers
from polytask.columns.times import times
from polytask.columns.values import is_number, value_type
from polytask.errors import UserError
from polytask.inputs.history_past import Blocks, Earlier, Past
from polytask.inputs.input import Feature, Input
from polytask.inputs.number_bins import NumericBins
from polytask.inputs.numbers import Numbers

NO_TARGETS: Mapping[str, NDArray[np.floating]] = MappingProxyType({})


@dataclass(frozen=True)
class KeyHistory(Input):
    """For each key (a user, an item, a pair of them) how often it was seen, and its mean labels.

    The columns are those of the keys and the one of the time. Only blocks of time before a row's
    own count: a training row knows its past as stale as a row to come does, and never its own label.
    Means are drawn to the overall mean as if `smoothing` more rows had it (Micci-Barreca, SIGKDD
    Explorations 2001, with the weight n / (n + smoothing)). `earlier` is what the runs before observed whose
    inputs go on in this one.

    >>> log = pa.table({"user": ["a", "a", "b", "a"], "day": [1, 2, 2, 3]})
    >>> clicks = {"click": np.array([1.0, 0.0, 0.0, 1.0])}
    >>> past = KeyHistory.fit(log, ["user", "day"], time="day", targets=clicks, width=1, smoothing=1)
    >>> past.observed(log)["user: mean of click before"].to_pylist()
    [0.5, 0.75, 0.5, 0.5]
    """

    time: str
    targets: tuple[str, ...]
    blocks: Blocks
    means: tuple[float, ...]
    smoothing: float
    pasts: tuple[Past, ...]
    scales: Numbers
    earlier: Earlier | None = None

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        columns: Sequence[str],
        *,
        time: str | None = None,
        keys: Sequence[Sequence[str]] = (),
        targets: Mapping[str, NDArray[np.floating]] = NO_TARGETS,
        width: float | None = None,
        smoothing: float = 20.0,
        num_bins: int = 8,
    ) -> Self:
        """`time` is one of the columns, `keys` are sets of the others: by default each alone.

        `targets` are labels (B,), NaN where missing. `width` is that of a block of time, in the
        column's unit; by default a tenth of the training rows' span. UserErrors: no time.
        """
        if time is None or time not in columns:
            raise UserError("a history needs the column of its time: name it by --time-column")
        if not smoothing >= 0:
            raise UserError(f"{smoothing=} must not be negative")
        found = tuple(tuple(key) for key in keys) or tuple((c,) for c in columns if c != time)
        times_B = _moments(table[time], f"column {time!r}")
        blocks = Blocks.fit(times_B, width)
        targets_BT = np.stack([np.empty((table.num_rows, 0)).sum(1), *targets.values()], 1)[:, 1:]
        own_B = blocks.known(times_B).clip(0, blocks.count - 1)
        pasts = tuple(Past.fit(table, key, own_B, targets_BT, blocks.count) for key in found)
        means = tuple(float(np.nanmean(target_B)) for target_B in targets_BT.T)
        unscaled = cls(
            *(tuple(columns), time, tuple(targets), blocks, means, float(smoothing), pasts),
            Numbers((), ()),
        )
        observed = unscaled.observed(table)
        scales = Numbers.fit(observed, observed.column_names, num_bins=num_bins)
        return cls(
            *(tuple(columns), time, tuple(targets), blocks, means, float(smoothing), pasts), scales
        )

    def encode(self, table: pa.Table) -> Tensor:
        """For each key log(1 + rows) and the smoothed mean of each target, standardised, float32."""
        return self.scales.encode(self.observed(table))

    def module(self) -> NumericBins:
        return self.scales.module()

    def features(self) -> list[Feature]:
        named = {
            name: (past.key[0], f"{' * '.join(past.key)}: {what}")
            for past in self.pasts
            for what, name in zip(self._whats(), self._names(past))
        }
        return [
            Feature(named[each.column][0], f"{named[each.column][1]}, {each.what}")
            for each in self.scales.features()
        ]

    def known_words(self) -> Mapping[str, Collection[object]]:
        found = chain.from_iterable(zip(past.key, past.vocabularies) for past in self.pasts)
        return {name: v.values for name, v in found if v.values and v.values.kind == "text"}

    def goes_on(self, later: Input) -> bool:
        """Where keys, time and labels are the same, and values of one kind."""
        assert isinstance(later, KeyHistory)
        return (
            (later.columns, later.time, later.targets) == (self.columns, self.time, self.targets)
            and len(later.pasts) == len(self.pasts)
            and all(mine.can_join(theirs) for mine, theirs in zip(self.pasts, later.pasts))
        )

    def grown(self, later: Input) -> Input:
        """What was observed before later rows, of this run and those before it, beside these rows' own past.

        Scales and overall means stay, so that what reads them keeps its meaning.
        """
        assert isinstance(later, KeyHistory)
        if not self.goes_on(later):
            return later
        parts = [[(past, self.blocks.count)] for past in self.pasts]
        end = self.blocks.end
        if self.earlier is not None:
            parts = [[(past, 1), *rest] for past, rest in zip(self.earlier.pasts, parts)]
            end = max(end, self.earlier.end)
        earlier = Earlier(end, tuple(map(Past.total, parts)))
        return replace(self, blocks=later.blocks, pasts=later.pasts, earlier=earlier)

    def _whats(self) -> list[str]:
        return ["rows before", *(f"mean of {target} before" for target in self.targets)]

    def _names(self, past: Past) -> list[str]:
        return [f"{' * '.join(past.key)}: {what}" for what in self._whats()]

    def observed(self, table: pa.Table) -> pa.Table:
        """The features as plain columns, in their own units."""
        times_B = _moments(table[self.time], f"column {self.time!r}")
        known_B = self.blocks.known(times_B)
        columns: dict[str, NDArray[np.float64]] = {}
        for p, past in enumerate(self.pasts):
            seen = past.before(table, known_B, self.blocks.count)
            if self.earlier is not None:
                # Of a row whose time is missing all counts, as of one behind the last.
                is_later_B = ~(times_B < self.earlier.end)
                seen += self.earlier.pasts[p].before(table, is_later_B.astype(np.int64), 1)
            labelled_BT, sum_BT = seen[:, 1::2], seen[:, 2::2]
            weight_BT = labelled_BT + self.smoothing
            with np.errstate(invalid="ignore"):
                mean_BT = (sum_BT + self.smoothing * np.array(self.means)) / weight_BT
            mean_BT = np.where(weight_BT > 0, mean_BT, np.array(self.means))
            values = [np.log1p(seen[:, 0]), *mean_BT.T]
            columns |= dict(zip(self._names(past), values))
        return pa.table(columns)


def _moments(column: pa.ChunkedArray, what: str) -> NDArray[np.float64]:
    """Numbers as they are, times in microseconds; NaN where missing."""
    if is_number(value_type(column.type)):
        return numbers(column, what)
    return numbers(times(column, what, unit=None).cast(pa.int64()), what)
