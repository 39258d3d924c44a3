"""One of several classes: softmax cross-entropy."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from polytask.columns.values import coded, commonest
from polytask.errors import UserError
from polytask.kinds.kind import Chart, Columns, Floats, Kind, Labels, Summary, fitted
from polytask.kinds.noise import (
    NUM_ROUNDS,
    Noise,
    full_precision,
    noisy_multiclass_loss,
    noisy_probabilities,
)
from polytask.kinds.reading import class_indices
from polytask.metrics import UNKNOWN_CLASS, Definition, LabelSpace, Values
from polytask.metrics.definitions import ACCURACY, CLASS_LOG_LOSS, MACRO_AUC

_MOST_CLASSES = 10_000


@dataclass(frozen=True, slots=True)
class Multiclass(Kind):
    """One class a row. A class that the training rows lack is UNKNOWN_CLASS: no label for the loss,
    and a miss for the metrics.

    classes: all classes, in the order of the outputs; without them, those of the training rows,
    ascending.

    >>> kind = Multiclass().fit(pa.chunked_array([["news", "sport", "news"]]), "topic")
    >>> kind.classes
    ('news', 'sport')
    >>> kind.encode(pa.chunked_array([["sport", "music", None]]), "topic").values_B.tolist()
    [1.0, -1.0, nan]
    """

    name: ClassVar[str] = "multiclass"
    main_metric: ClassVar[str] = "macro_auc"

    classes: tuple[bool, ...] | tuple[int, ...] | tuple[str, ...] = ()
    noise: Noise = "constant"
    frequencies: tuple[float, ...] = fitted(())

    def __post_init__(self) -> None:
        if len(self.classes) == 1 or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"two classes or more are needed, all different, but {self.classes=}")
        rates = self.frequencies
        if rates and (len(rates) != len(self.classes) or not all(0 < rate < 1 for rate in rates)):
            raise ValueError(f"{len(self.classes)} classes do not have the {self.frequencies=}")

    def fit(self, column: pa.ChunkedArray, what: str) -> Self:
        values = coded(column, what)
        occurring = values.occurring().to_pylist()
        if not occurring:
            raise UserError(f"{what}: every training row is without a label")
        if values.kind == "float":
            raise UserError(
                f"{what} is multiclass, but holds fractions ({commonest(values)}): "
                "make it a regression, or bin it by --derive"
            )
        if len(occurring) > _MOST_CLASSES:
            raise UserError(
                f"{what} would have {len(occurring):,} classes; at most {_MOST_CLASSES:,} are taken"
            )
        if len(occurring) == 1:
            raise UserError(
                f"{what} is constant: all labelled training rows are {occurring[0]!r}; "
                "there is nothing to learn"
            )
        classes = self.classes or tuple(sorted(occurring))
        read = replace(self, classes=classes)
        return read.starting_at(read.encode(column, what).values_B)

    def starting_at(self, labels_B: Floats) -> Self:
        known = labels_B[labels_B >= 0].astype(np.intp)
        # Half a row more of each, so that a class without any is rare, not impossible.
        counts = np.bincount(known, minlength=len(self.classes)) + 0.5
        return replace(self, frequencies=tuple((counts / counts.sum()).tolist()))

    def encode(self, column: pa.ChunkedArray, what: str) -> Labels:
        return class_indices(coded(column, what), self.classes, what, unseen=UNKNOWN_CLASS)

    def is_labelled(self, labels_B: Tensor) -> Tensor:
        return labels_B >= 0

    @property
    def num_outputs(self) -> int:
        if not self.classes:
            raise ValueError(
                "a multiclass kind has no outputs before its classes are known: fit it"
            )
        return len(self.classes) + (self.noise == "learned")

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def loss(self, outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
        if self.noise == "learned":
            return noisy_multiclass_loss(outputs_BO, labels_B)
        logits_BC = full_precision(outputs_BO)
        return functional.cross_entropy(logits_BC, labels_B.long(), reduction="none")

    def predict(self, outputs_BO: Tensor) -> Tensor:
        """Class probabilities (B, C)."""
        if self.noise == "learned":
            return noisy_probabilities(outputs_BO)
        return full_precision(outputs_BO).softmax(dim=1)

    def initial_bias(self) -> Tensor:
        bias_O = torch.zeros(self.num_outputs, dtype=torch.float64)
        if not self.frequencies:
            return bias_O.float()
        wanted_C = torch.tensor(self.frequencies, dtype=torch.float64).log()
        for _ in range(NUM_ROUNDS):
            bias_O[: len(wanted_C)] += wanted_C - self.predict(bias_O[None])[0].log()
        return bias_O.float()

    @property
    def space(self) -> LabelSpace:
        return LabelSpace(
            self.name,
            predictions=Values(
                0, 1, "probabilities in [0, 1], such as the softmax of the model's logits"
            ),
            columns="class probabilities",
            are_classes=True,
        )

    @property
    def metrics(self) -> tuple[Definition, ...]:
        return (MACRO_AUC, ACCURACY, CLASS_LOG_LOSS)

    def named_predictions(self, task: str, predictions: NDArray[np.floating]) -> Columns:
        """The likeliest class, and NAME_p_CLASS: the probability of each."""
        classes = np.asarray(self.classes)
        return {task: classes[predictions.argmax(axis=1)]} | {
            f"{task}_p_{label}": predictions[:, c] for c, label in enumerate(self.classes)
        }

    def summary(self, labels_B: Floats) -> Summary:
        known = labels_B[labels_B >= 0].astype(np.intp)
        if not len(known):
            return Summary(None)
        counts = np.bincount(known, minlength=len(self.classes))
        most_frequent = str(self.classes[int(counts.argmax())])
        return Summary(float(counts.max() / len(known)), most_frequent=most_frequent)

    def chart(self, predictions: Floats, labels_B: Floats) -> Chart:
        """The probability of the predicted class, and whether it was the right one."""
        right_B = (predictions.argmax(axis=1) == labels_B).astype(np.float64)
        title = "probability of the predicted class"
        return Chart(predictions.max(axis=1), right_B, "logit", ("wrong", "right"), title)
