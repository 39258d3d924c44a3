"""Kind: what a label is. How it is read, its loss, its prediction in its own unit, its metrics."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal, NamedTuple, Self, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from polytask.metrics import Definition, LabelSpace, definition_of

Floats = NDArray[np.float64]
AxisScale = Literal["logit", "linear", "log1p"]
Fitted = TypeVar("Fitted")

_IS_FITTED = "is_fitted"


class Labels(NamedTuple):
    """The labels (B,) of a column: NaN where missing or unreadable, and how many are unseen.

    Unseen: a value that the training rows lack, for which the kind has no label; `example` is one.
    """

    values_B: Floats
    num_unseen: int = 0
    example: str | None = None


def fitted(default: Fitted) -> Fitted:
    """A field that `Kind.fit` fills: written to encoder.json, and no option of run.yaml."""
    return field(default=default, kw_only=True, metadata={_IS_FITTED: True})


@dataclass(frozen=True, slots=True)
class Kind(ABC):
    """A frozen value: its options and, once fitted, what the training labels said.

    Subclasses are final frozen dataclasses whose fields JSON can hold; fields that `fit` fills are
    declared by `fitted(default)`. Registered under `name`, a kind is one in run.yaml and on the
    command line as well (see `polytask.kinds.register`).
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def main_metric(self) -> str:
        """What early stopping watches by default: free of the label's scale, higher is better."""

    @abstractmethod
    def fit(self, column: pa.ChunkedArray, what: str) -> Self:
        """What the training rows say; UserError, which `what` begins, where they teach nothing."""

    @abstractmethod
    def encode(self, column: pa.ChunkedArray, what: str) -> Labels:
        """The labels that `loss` takes."""

    def decode(self, labels: NDArray[np.floating]) -> Floats:
        """Labels in their own unit, as `predict` has them: what metrics compare."""
        return np.asarray(labels, dtype=np.float64)

    def is_labelled(self, labels_B: Tensor) -> Tensor:
        """Rows whose label enters the loss."""
        missing_B = labels_B.isnan()
        return ~(missing_B if labels_B.ndim == 1 else missing_B.flatten(1).any(dim=1))

    @property
    def splits_texts(self) -> bool:
        """Whether a label that is a text has a word for each word of the row."""
        return False

    @property
    def num_outputs(self) -> int:
        return 1

    @property
    def num_classes(self) -> int:
        """Labels are 0 to num_classes - 1; 0 where they are quantities."""
        return 0

    @property
    def has_one_logit(self) -> bool:
        """Whether the one output is the logit of yes: what the relation `given` multiplies."""
        return False

    @abstractmethod
    def loss(self, outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
        """Losses (B,) of outputs (B, O), 0 where the fit is perfect. Labels have no NaN."""

    @property
    def loss_can_be_negative(self) -> bool:
        """Rules that need positive losses refuse such a task."""
        return False

    @property
    def is_squared_error(self) -> bool:
        """Whether the loss is that of a Gaussian but for a factor of 2, which learned weights mind."""
        return False

    @abstractmethod
    def predict(self, outputs_BO: Tensor) -> Tensor:
        """Predictions (B,), or (B, C), in the label's own unit."""

    @abstractmethod
    def initial_bias(self) -> Tensor:
        """Outputs (O,) that predict the mean of the training labels: where heads start."""

    def starting_at(self, labels_B: Floats) -> Self:
        """The kind whose heads start at the mean of these labels, as `encode` has them."""
        return self

    def calibrated(self, outputs_BO: Tensor, labels_B: Tensor, weights_B: Tensor) -> Self:
        """What is known only after training, from the trained outputs of labelled training rows."""
        return self

    @property
    def needs_calibration(self) -> bool:
        return False

    @property
    @abstractmethod
    def space(self) -> LabelSpace:
        """Which labels and predictions are possible."""

    @property
    @abstractmethod
    def metrics(self) -> tuple[Definition, ...]:
        """By what the task is judged, in the order of reports."""

    def metric(self, name: str) -> Definition:
        """The metric of that name; UserError with the nearest one otherwise."""
        return definition_of(name, self)

    def named_predictions(self, task: str, predictions: NDArray[np.floating]) -> "Columns":
        """Predictions as the columns of a table."""
        return {task: predictions}

    def summary(self, labels_B: Floats) -> "Summary":
        """The training labels, as `encode` has them and without missing ones, in a few figures."""
        return Summary(float(self.decode(labels_B).mean())) if len(labels_B) else Summary(None)

    def chart(self, predictions: Floats, labels_B: Floats) -> "Chart":
        """What a calibration plot and a histogram show."""
        return Chart(predictions, labels_B, "linear")

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """The fields that the user sets; the others are fitted."""
        return tuple(each.name for each in fields(cls) if not each.metadata.get(_IS_FITTED))

    def options(self) -> dict[str, object]:
        """The options that differ from their defaults."""
        defaults = {each.name: each.default for each in fields(self)}
        values = {name: getattr(self, name) for name in self.option_names()}
        return {name: value for name, value in values.items() if value != defaults[name]}


Columns = Mapping[str, NDArray[np.generic]]


class Summary(NamedTuple):
    """`mean` is the share of yes, or the mean in the label's own unit; for classes the share of
    `most_frequent`. None where there is no label. `is_share`: the mean is a share of yes."""

    mean: float | None
    most_frequent: str | None = None
    is_share: bool = False


class Chart(NamedTuple):
    """Scores (B,) against observations (B,), and the scale on which they spread evenly.

    With `outcomes` observations are 0 or 1 and have these names; `title` names the scores.
    """

    scores_B: Floats
    observed_B: Floats
    scale: AxisScale
    outcomes: tuple[str, str] | None = None
    title: str = "predicted"
