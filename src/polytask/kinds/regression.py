"""A real number: squared error of the standardised label, or of its logarithm."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.kinds.kind import Chart, Floats, Kind, Labels, fitted
from polytask.kinds.noise import Noise, full_precision, noisy_squared_error
from polytask.kinds.reading import Scale, Transform, sizeable_numbers
from polytask.metrics import Definition, LabelSpace
from polytask.metrics.definitions import CALIBRATION_OF_ANY, GXAUC, MAE, R2, RMSE, XAUC


@dataclass(frozen=True, slots=True)
class Regression(Kind):
    """A quantity of any sign.

    transform: log1p trains on log(1 + y). The exponential of a mean logarithm is below the mean
    (it is a median where errors are symmetric), so predictions are multiplied by Duan's smearing
    factor, the mean of exp(residual) over training rows, unless `smearing` is off.
    Source: Duan, JASA 1983, Smearing Estimate. DIFF: none is above the largest training label, for the
    exponential of an error can be of any size, and a mean cannot lie above all labels.
    noise: learned makes the variance of the label an output (see polytask.kinds.noise).

    >>> kind = Regression(unit="s").fit(pa.chunked_array([[2.0, 4.0, 6.0]]), "watch")
    >>> kind.predict(kind.initial_bias()[None]).item()
    4.0
    """

    name: ClassVar[str] = "regression"

    transform: Transform | None = None
    unit: str | None = None
    noise: Noise = "constant"
    smearing: bool = True
    mean: float = fitted(0.0)
    std: float = fitted(1.0)
    smearing_factor: float = fitted(1.0)
    largest: float | None = fitted(None)
    """Of the training labels, where their logarithm is trained on."""

    def __post_init__(self) -> None:
        Scale(self.transform, self.mean, self.std)
        if not 0 < self.smearing_factor < math.inf:
            raise ValueError(f"a smearing factor of {self.smearing_factor:g} is none")

    @property
    def main_metric(self) -> str:
        """R2; XAUC of a transformed label, whose tail decides the R2 of a few thousand rows."""
        return "r2" if self.transform is None else "xauc"

    @property
    def scale(self) -> Scale:
        return Scale(self.transform, self.mean, self.std)

    def fit(self, column: pa.ChunkedArray, what: str) -> Self:
        scale = Scale.of(column, what, self.transform)
        largest = None
        if self.transform is not None:
            largest = float(np.nanmax(sizeable_numbers(column, what)))
        return replace(self, mean=scale.mean, std=scale.std, largest=largest)

    def encode(self, column: pa.ChunkedArray, what: str) -> Labels:
        return Labels(self.scale.encode(column, what))

    def decode(self, labels: NDArray[np.floating]) -> Floats:
        return self.scale.decode(labels)

    @property
    def num_outputs(self) -> int:
        return 1 if self.noise == "constant" else 2

    def loss(self, outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
        if self.noise == "learned":
            return noisy_squared_error(outputs_BO, labels_B)
        return (full_precision(outputs_BO).squeeze(1) - labels_B).square()

    @property
    def is_squared_error(self) -> bool:
        return True

    @property
    def loss_can_be_negative(self) -> bool:
        # Half a log-variance has no lower end.
        return self.noise == "learned"

    def predict(self, outputs_BO: Tensor) -> Tensor:
        predicted_B = self.scale.back(outputs_BO[:, 0], factor=self.smearing_factor)
        return predicted_B if self.largest is None else predicted_B.clamp(max=self.largest)

    def initial_bias(self) -> Tensor:
        return torch.zeros(self.num_outputs)

    @property
    def needs_calibration(self) -> bool:
        return self.smearing and self.transform == "log1p"

    def calibrated(self, outputs_BO: Tensor, labels_B: Tensor, weights_B: Tensor) -> Self:
        if not self.needs_calibration or not weights_B.sum() > 0:
            return self
        residual_B = self.std * (labels_B.double() - outputs_BO[:, 0].double())
        factor = (weights_B * residual_B.exp()).sum() / weights_B.sum()
        return replace(self, smearing_factor=float(factor))

    @property
    def space(self) -> LabelSpace:
        return LabelSpace(self.name)

    @property
    def metrics(self) -> tuple[Definition, ...]:
        rest = (GXAUC, MAE, RMSE, CALIBRATION_OF_ANY)
        return (R2, XAUC, *rest) if self.main_metric == "r2" else (XAUC, R2, *rest)

    def chart(self, predictions: Floats, labels_B: Floats) -> Chart:
        return Chart(predictions, labels_B, "linear" if self.transform is None else "log1p")
