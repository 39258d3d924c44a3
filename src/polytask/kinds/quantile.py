"""Several quantiles of a quantity: pinball loss."""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.kinds.kind import AxisScale, Chart, Columns, Floats, Kind, Labels, fitted
from polytask.kinds.noise import full_precision
from polytask.kinds.reading import Scale, Transform
from polytask.metrics import Definition, LabelSpace, Rows
from polytask.metrics.definitions import EQUAL, NO_ROWS, of_sums
from polytask.metrics.statistic import UNDEFINED, Statistic, ratio


@dataclass(frozen=True, slots=True)
class Quantile(Kind):
    """The values below which given shares of labels lie.

    levels: the shares, ascending. Predictions (B, O) are sorted, which never adds to the loss, so
    that they do not cross.
    Source: Koenker and Bassett, Econometrica 1978, Regression Quantiles, eq. 1.1; sorting:
    Chernozhukov, Fernandez-Val and Galichon, Econometrica 2010, proposition 4.

    >>> kind = Quantile(levels=(0.25, 0.75)).fit(pa.chunked_array([[1.0, 2.0, 3.0, 4.0, 5.0]]), "y")
    >>> kind.predict(kind.initial_bias()[None]).round(decimals=5).tolist()
    [[2.0, 4.0]]
    """

    name: ClassVar[str] = "quantile"
    main_metric: ClassVar[str] = "pinball_skill"

    levels: tuple[float, ...] = (0.1, 0.5, 0.9)
    transform: Transform | None = None
    unit: str | None = None
    mean: float = fitted(0.0)
    std: float = fitted(1.0)
    starts: tuple[float, ...] = fitted(())

    def __post_init__(self) -> None:
        ascending = all(low < high for low, high in zip(self.levels, self.levels[1:]))
        if not self.levels or not ascending or not 0 < self.levels[0] <= self.levels[-1] < 1:
            raise ValueError(f"levels must ascend between 0 and 1, but {self.levels=}")
        Scale(self.transform, self.mean, self.std)
        if len(self.starts) not in (0, len(self.levels)):
            raise ValueError(f"{len(self.levels)} levels, but {len(self.starts)} starts")

    @property
    def scale(self) -> Scale:
        return Scale(self.transform, self.mean, self.std)

    def fit(self, column: pa.ChunkedArray, what: str) -> Self:
        scale = Scale.of(column, what, self.transform)
        read = replace(self, mean=scale.mean, std=scale.std)
        return read.starting_at(read.encode(column, what).values_B)

    def starting_at(self, labels_B: Floats) -> Self:
        return replace(self, starts=tuple(np.nanquantile(labels_B, self.levels).tolist()))

    def encode(self, column: pa.ChunkedArray, what: str) -> Labels:
        return Labels(self.scale.encode(column, what))

    def decode(self, labels: NDArray[np.floating]) -> Floats:
        return self.scale.decode(labels)

    @property
    def num_outputs(self) -> int:
        return len(self.levels)

    def loss(self, outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
        """The mean pinball loss of the levels."""
        outputs_BO = full_precision(outputs_BO)
        error_BO = labels_B[:, None] - outputs_BO
        levels_O = torch.tensor(self.levels, dtype=outputs_BO.dtype, device=outputs_BO.device)
        return torch.maximum(levels_O * error_BO, (levels_O - 1.0) * error_BO).mean(dim=1)

    def predict(self, outputs_BO: Tensor) -> Tensor:
        """The quantiles (B, O), ascending."""
        return self.scale.back(full_precision(outputs_BO).sort(dim=1).values)

    def initial_bias(self) -> Tensor:
        return torch.tensor(self.starts or (0.0,) * self.num_outputs)

    @property
    def space(self) -> LabelSpace:
        return LabelSpace(self.name, columns="quantiles")

    @property
    def metrics(self) -> tuple[Definition, ...]:
        skill, loss, coverage = (
            partial(each, levels=self.levels) for each in (_skill, _pinball, _coverage)
        )
        return (
            Definition(
                "pinball_skill",
                "pinball skill",
                "higher",
                skill,
                EQUAL,
                "share of the loss of constant quantiles that is saved: 0 is no better, 1 is perfect",
            ),
            Definition(
                "pinball",
                "pinball loss",
                "lower",
                loss,
                NO_ROWS,
                "mean pinball loss of the levels, in the label's own unit",
                adds_up=True,
            ),
            Definition(
                "coverage",
                "coverage",
                "to 1",
                coverage,
                NO_ROWS,
                "labels between the outer quantiles over the share that belongs there",
                adds_up=True,
            ),
        )

    def named_predictions(self, task: str, predictions: NDArray[np.floating]) -> Columns:
        """The middle level, and NAME_q10: the one of 0.1."""
        return {task: predictions[:, self._middle]} | {
            f"{task}_q{100 * level:g}": predictions[:, o] for o, level in enumerate(self.levels)
        }

    def chart(self, predictions: Floats, labels_B: Floats) -> Chart:
        scale: AxisScale = "linear" if self.transform is None else "log1p"
        level = self.levels[self._middle]
        return Chart(predictions[:, self._middle], labels_B, scale, title=f"quantile {level:g}")

    @property
    def _middle(self) -> int:
        return int(np.argmin(np.abs(np.array(self.levels) - 0.5)))


def _losses(quantiles: Floats, label_B: Floats, levels: tuple[float, ...]) -> Floats:
    """Mean pinball loss (B,) of quantiles (B, O) or (O,)."""
    error_BO = label_B[:, None] - quantiles
    levels_O = np.array(levels)
    mean_B: Floats = np.maximum(levels_O * error_BO, (levels_O - 1) * error_BO).mean(axis=1)
    return mean_B


def _pinball(rows: Rows, *, levels: tuple[float, ...]) -> Statistic:
    return of_sums(rows, ratio, _losses(rows.predictions, rows.label_B, levels), 1.0)


def _skill(rows: Rows, *, levels: tuple[float, ...]) -> Statistic:
    """1 - loss / loss of the rows' own constant quantiles: what R2 is for squared errors."""
    if not rows.labels_differ():
        return UNDEFINED
    order = np.argsort(rows.label_B, kind="stable")
    share_B = np.cumsum(rows.weight_B[order]) / rows.weight_B.sum()
    place_O = np.searchsorted(share_B, np.array(levels)).clip(max=len(order) - 1)
    constant_B = _losses(rows.label_B[order][place_O], rows.label_B, levels)
    loss_B = _losses(rows.predictions, rows.label_B, levels)
    return of_sums(rows, lambda sums_RK: 1 - ratio(sums_RK), loss_B, constant_B)


def _coverage(rows: Rows, *, levels: tuple[float, ...]) -> Statistic:
    """The share of labels between the outer quantiles (with one quantile: up to it) over its due."""
    inside_B, due = rows.label_B <= rows.predictions[:, -1], levels[-1]
    if len(levels) > 1:
        inside_B, due = inside_B & (rows.label_B >= rows.predictions[:, 0]), due - levels[0]
    return of_sums(rows, ratio, inside_B.astype(np.float64), due)
