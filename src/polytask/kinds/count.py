"""A number of events: a log rate, half the Poisson deviance."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from polytask.kinds.kind import Chart, Floats, Kind, Labels, fitted
from polytask.kinds.noise import full_precision
from polytask.kinds.reading import counts, require_variety
from polytask.metrics import Definition, LabelSpace, Values
from polytask.metrics.definitions import CALIBRATION, GXAUC, MAE, POISSON_DEVIANCE, RMSE, XAUC

_LARGEST_LOG_RATIO = 15.0
"""A rate grows linearly from here on, in logarithms above the mean of the training labels: its
gradient is neither 0, as that of a clamped rate, nor more than float32 holds."""


@dataclass(frozen=True, slots=True)
class Count(Kind):
    """Whole numbers from 0.

    The loss y log(y / mu) - y + mu has the gradient of the Poisson log-loss and, unlike it, is never
    negative and 0 at a perfect fit.
    DIFF: divided by what the training mean as a constant rate would cost, where that is above 1: a
    count in thousands would else drown the tasks beside it, as a regression in its own unit would.

    >>> kind = Count().fit(pa.chunked_array([[0, 2, 7]]), "visits")
    >>> round(kind.predict(kind.initial_bias()[None]).item(), 5)
    3.0
    """

    name: ClassVar[str] = "count"
    main_metric: ClassVar[str] = "xauc"

    unit: str | None = None
    mean: float = fitted(1.0)
    constant_loss: float = fitted(1.0)

    def __post_init__(self) -> None:
        if not (0 < self.mean < math.inf and 0 <= self.constant_loss < math.inf):
            raise ValueError(f"a count has no {self.mean=} with {self.constant_loss=}")

    def fit(self, column: pa.ChunkedArray, what: str) -> Self:
        labels_B = counts(column, what)
        require_variety(labels_B, what)
        return self.starting_at(labels_B)

    def starting_at(self, labels_B: Floats) -> Self:
        present_B = torch.tensor(labels_B[~np.isnan(labels_B)])
        started = replace(self, mean=float(present_B.mean()), constant_loss=1.0)
        constant_BO = started.initial_bias().double().expand(len(present_B), 1)
        return replace(started, constant_loss=float(started.loss(constant_BO, present_B).mean()))

    def encode(self, column: pa.ChunkedArray, what: str) -> Labels:
        return Labels(counts(column, what))

    def loss(self, outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
        """With d the log rate less log y it is y (e^d - 1 - d), where nothing of the size of y is
        subtracted from its like."""
        log_rate_B = full_precision(outputs_BO).squeeze(1)
        labels_B = labels_B.to(log_rate_B.dtype)
        log_label_B = labels_B.clamp(min=1.0).log()
        limit_B = log_label_B.clamp(min=self._log_mean) + _LARGEST_LOG_RATIO
        ratio_B = log_rate_B - log_label_B
        excess_B = _linear_from(ratio_B, limit_B - log_label_B) - ratio_B
        of_labels_B = labels_B * excess_B.clamp(min=0.0)
        losses_B = torch.where(labels_B > 0, of_labels_B, self.predict(outputs_BO))
        return losses_B / max(self.constant_loss, 1.0)

    def predict(self, outputs_BO: Tensor) -> Tensor:
        """The rate (B,)."""
        log_rate_B = full_precision(outputs_BO)[:, 0]
        limit = torch.full_like(log_rate_B, self._log_mean + _LARGEST_LOG_RATIO)
        return _linear_from(log_rate_B, limit) + 1.0

    def initial_bias(self) -> Tensor:
        return torch.tensor([math.log(self.mean)])

    @property
    def _log_mean(self) -> float:
        return max(math.log(self.mean), 0.0)

    @property
    def space(self) -> LabelSpace:
        zero_or_more = Values(0, math.inf, "0 or more")
        return LabelSpace(self.name, labels=zero_or_more, predictions=zero_or_more)

    @property
    def metrics(self) -> tuple[Definition, ...]:
        return (XAUC, GXAUC, POISSON_DEVIANCE, MAE, RMSE, CALIBRATION)

    def chart(self, predictions: Floats, labels_B: Floats) -> Chart:
        return Chart(predictions, labels_B, "log1p")


def _linear_from(x_B: Tensor, limit_B: Tensor) -> Tensor:
    """exp(x) - 1, and its tangent at the limit from there on."""
    # Not x less the minimum: below the limit two gradients of the size of exp(limit) would cancel.
    return torch.minimum(x_B, limit_B).expm1() + limit_B.exp() * (x_B - limit_B).clamp(min=0.0)
