"""One of several classes for each word of a row, such as its part of speech."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from polytask.kinds.kind import Chart, Columns, Floats, Kind, Labels, Summary, fitted
from polytask.kinds.multiclass import Multiclass
from polytask.metrics import Definition, LabelSpace
from polytask.metrics.definitions import ACCURACY, CLASS_LOG_LOSS, MACRO_F1


@dataclass(frozen=True, slots=True)
class Tags(Kind):
    """One class a word: softmax cross-entropy, the mean over the words; judged by the words that are right.

    A row's labels are a list, or a text whose words spaces part. `fit` and `encode` read the labels of
    the words, one row after another (see `polytask.columns.words`).

    classes: all classes, in the order of the outputs; without them, those of the training words,
    ascending.

    >>> kind = Tags().fit(pa.chunked_array([["DET", "NOUN", "NOUN"]]), "upos")
    >>> kind.encode(pa.chunked_array([["NOUN", "X", None]]), "upos").values_B.tolist()
    [1.0, -1.0, nan]
    """

    name: ClassVar[str] = "tags"
    main_metric: ClassVar[str] = "accuracy"

    classes: tuple[bool, ...] | tuple[int, ...] | tuple[str, ...] = ()
    frequencies: tuple[float, ...] = fitted(())

    def __post_init__(self) -> None:
        _ = self._each

    @property
    def _each(self) -> Multiclass:
        """What a single word's label is."""
        return Multiclass(classes=self.classes, frequencies=self.frequencies)

    def _as(self, each: Multiclass) -> Self:
        return replace(self, classes=each.classes, frequencies=each.frequencies)

    def fit(self, column: pa.ChunkedArray, what: str) -> Self:
        return self._as(self._each.fit(column, what))

    def starting_at(self, labels_B: Floats) -> Self:
        return self._as(self._each.starting_at(labels_B))

    def encode(self, column: pa.ChunkedArray, what: str) -> Labels:
        return self._each.encode(column, what)

    def is_labelled(self, labels_B: Tensor) -> Tensor:
        return self._each.is_labelled(labels_B)

    @property
    def splits_texts(self) -> bool:
        return True

    @property
    def num_outputs(self) -> int:
        return self._each.num_outputs

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def loss(self, outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
        return self._each.loss(outputs_BO, labels_B)

    def predict(self, outputs_BO: Tensor) -> Tensor:
        """Class probabilities (W, C)."""
        return self._each.predict(outputs_BO)

    def initial_bias(self) -> Tensor:
        return self._each.initial_bias()

    @property
    def space(self) -> LabelSpace:
        return replace(self._each.space, kind=self.name)

    @property
    def metrics(self) -> tuple[Definition, ...]:
        return (ACCURACY, MACRO_F1, CLASS_LOG_LOSS)

    def named_predictions(self, task: str, predictions: NDArray[np.floating]) -> Columns:
        """The likeliest class of each word, and NAME_p: its probability."""
        classes = np.asarray(self.classes)
        return {task: classes[predictions.argmax(axis=1)], f"{task}_p": predictions.max(axis=1)}

    def summary(self, labels_B: Floats) -> Summary:
        return self._each.summary(labels_B)

    def chart(self, predictions: Floats, labels_B: Floats) -> Chart:
        return self._each.chart(predictions, labels_B)
