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

    >>> kind = Count().fit(pa.chunked_array([[0, 2, 7]]), "visits")
    >>> round(kind.predict(kind.initial_bias()[None]).item(), 5)
    3.0
    """

    name: ClassVar[str] = "count"
    main_metric: ClassVar[str] = "xauc"

    unit: str | None = None
    mean: float = fitted(1.0)

    def fit(self, column: pa.ChunkedArray, what: str) -> Self:
        labels_B = counts(column, what)
        require_variety(labels_B, what)
        return self.starting_at(labels_B)

    def starting_at(self, labels_B: Floats) -> Self:
        return replace(self, mean=float(np.nanmean(labels_B)))

    def encode(self, column: pa.ChunkedArray, what: str) -> Labels:
        return Labels(counts(column, what))

    def loss(self, outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
        """Half the deviance. With d the log rate less log y it is y (e^d - 1 - d), where nothing of
        the size of y is subtracted from its like."""
        log_rate_B = full_precision(outputs_BO).squeeze(1)
        labels_B = labels_B.to(log_rate_B.dtype)
        log_label_B = labels_B.clamp(min=1.0).log()
        limit_B = log_label_B.clamp(min=self._log_mean) + _LARGEST_LOG_RATIO
        ratio_B = log_rate_B - log_label_B
        excess_B = _linear_from(ratio_B, limit_B - log_label_B) - ratio_B
        return torch.where(
            labels_B > 0,
            labels_B * excess_B.clamp(min=0.0),
            self.predict(outputs_BO),
        )

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
        return (POISSON_DEVIANCE, RMSE, MAE, CALIBRATION, XAUC, GXAUC)

    def chart(self, predictions: Floats, labels_B: Floats) -> Chart:
        return Chart(predictions, labels_B, "log1p")


def _linear_from(x_B: Tensor, limit_B: Tensor) -> Tensor:
    """exp(x) - 1, and its tangent at the limit from there on."""
    below_B = torch.minimum(x_B, limit_B)
    return below_B.expm1() + limit_B.exp() * (x_B - below_B)
