"""Yes or no: one logit, log-loss."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator
from torch import Tensor
from torch.nn import functional

from polytask.columns.numbers import finite_numbers
from polytask.columns.values import Coded, Value, coded, commonest
from polytask.errors import UserError
from polytask.kinds.conditions import Condition, parse_condition
from polytask.kinds.kind import Chart, Floats, Kind, Labels, Summary, fitted
from polytask.kinds.noise import (
    NUM_ROUNDS,
    Noise,
    full_precision,
    noisy_binary_loss,
    noisy_log_probability,
)
from polytask.kinds.reading import class_indices, require_none, require_variety
from polytask.metrics import Definition, LabelSpace, Values
from polytask.metrics.definitions import AUC, CALIBRATION, GAUC, LOG_LOSS

_PAIRS = (("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"), ("0", "1"))
_YES_FIRST = {word: place for place, word in enumerate(yes for _, yes in _PAIRS)}


def _as_text(value: object) -> object:
    """`positive: 1` in YAML is the text 1."""
    return str(value) if isinstance(value, int | float) else value


@dataclass(frozen=True, slots=True)
class Binary(Kind):
    """A yes/no label, or the probability of yes: log-loss (natural logarithm).

    positive: what is yes, verbatim: VALUE, A|B|C, >=N, >N, <=N, <N. 0 and 1, false and true, and
    no and yes in any usual spelling need none. Numbers between 0 and 1 are probabilities.
    noise: learned makes the variance of the logit an output (see polytask.kinds.noise).

    >>> kind = Binary(positive=">=18").fit(pa.chunked_array([[12, 30, 17, None]]), "age")
    >>> kind.encode(pa.chunked_array([[40, 3]]), "age").values_B.tolist()
    [1.0, 0.0]
    >>> round(kind.predict(kind.initial_bias()[None]).item(), 3)
    0.333
    """

    name: ClassVar[str] = "binary"
    main_metric: ClassVar[str] = "auc"

    positive: Annotated[str, BeforeValidator(_as_text)] | None = None
    noise: Noise = "constant"
    condition: Condition | None = fitted(None)
    classes: tuple[bool, ...] | tuple[int, ...] | tuple[str, ...] = fitted(())
    base_rate: float | None = fitted(None)

    def __post_init__(self) -> None:
        if self.classes and (len(self.classes) != 2 or len(set(self.classes)) != 2):
            raise ValueError(f"no and yes are two different values, but {self.classes=}")
        if self.base_rate is not None and not 0 <= self.base_rate <= 1:
            raise ValueError(f"a rate is from 0 to 1, but {self.base_rate=}")

    def fit(self, column: pa.ChunkedArray, what: str) -> Self:
        read = self._read(column, what)
        labels_B = read.encode(column, what).values_B
        require_variety(labels_B, what, names=("no", "yes"))
        return read.starting_at(labels_B)

    def starting_at(self, labels_B: Floats) -> Self:
        return replace(self, base_rate=float(np.nanmean(labels_B)))

    def encode(self, column: pa.ChunkedArray, what: str) -> Labels:
        if self.condition is not None:
            return Labels(self.condition.evaluate(column, what))
        if self.has_probabilities:
            return Labels(_probabilities(column, what))
        return class_indices(coded(column, what), self.classes, what, unseen=math.nan)

    @property
    def has_probabilities(self) -> bool:
        """Whether labels are probabilities of yes."""
        return self.condition is None and not self.classes

    @property
    def num_outputs(self) -> int:
        return 1 if self.noise == "constant" else 2

    @property
    def num_classes(self) -> int:
        return 2

    @property
    def has_one_logit(self) -> bool:
        return self.noise == "constant"

    def loss(self, outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
        if self.noise == "learned":
            return noisy_binary_loss(outputs_BO, labels_B)
        logits_B = full_precision(outputs_BO).squeeze(1)
        return functional.binary_cross_entropy_with_logits(
            logits_B, labels_B.to(logits_B.dtype), reduction="none"
        )

    def predict(self, outputs_BO: Tensor) -> Tensor:
        """The probability of yes (B,)."""
        if self.noise == "learned":
            return noisy_log_probability(outputs_BO).exp()
        return full_precision(outputs_BO)[:, 0].sigmoid()

    def initial_bias(self) -> Tensor:
        rate = 0.5 if self.base_rate is None else self.base_rate
        bias_O = torch.zeros(self.num_outputs, dtype=torch.float64)
        if not 0 < rate < 1:
            return bias_O.float()
        wanted = math.log(rate / (1 - rate))
        # Without noise the first round is the last; with it, each takes off most of what is left.
        for _ in range(NUM_ROUNDS):
            bias_O[0] += wanted - self.predict(bias_O[None])[0].logit()
        return bias_O.float()

    @property
    def space(self) -> LabelSpace:
        return LabelSpace(
            self.name,
            labels=Values(0, 1, "0 or 1, or a probability"),
            predictions=Values(
                0, 1, "probabilities in [0, 1], such as the sigmoid of the model's logits"
            ),
            are_events=True,
        )

    @property
    def metrics(self) -> tuple[Definition, ...]:
        return (AUC, GAUC, LOG_LOSS, CALIBRATION)

    def summary(self, labels_B: Floats) -> Summary:
        rate = float(labels_B.mean()) if len(labels_B) else None
        return Summary(rate, is_share=True)

    def chart(self, predictions: Floats, labels_B: Floats) -> Chart:
        title = "predicted probability of yes"
        return Chart(predictions, labels_B, "logit", ("no", "yes"), title)

    def _read(self, column: pa.ChunkedArray, what: str) -> Self:
        """With what tells yes from no, as the training rows hold it."""
        if self.positive is None and _holds_fractions(column):
            _probabilities(column, what)
            return self
        values = coded(column, what)
        occurring = values.occurring().to_pylist()
        if not occurring:
            raise UserError(f"{what}: every training row is without a label")
        if self.positive is not None:
            return replace(self, condition=parse_condition(self.positive, column, what))
        if values.kind == "boolean":
            return replace(self, classes=(False, True))
        if values.kind == "integer" and set(occurring) <= {0, 1}:
            return replace(self, classes=(0, 1))
        pair = no_and_yes(occurring)
        if pair is not None:
            return replace(self, classes=pair)
        raise UserError(_ask(values, occurring, what))


def no_and_yes(values: list[Value]) -> tuple[str, str] | None:
    """The two texts that have one meaning as no and yes, as these values spell them."""
    if len(values) != 2 or not all(isinstance(value, str) for value in values):
        return None
    spelt = {str(value).strip().lower(): str(value) for value in values}
    for no, yes in _PAIRS:
        if spelt.keys() == {no, yes}:
            return spelt[no], spelt[yes]
    return None


def _ask(values: Coded, occurring: list[Value], what: str) -> str:
    """Which value is yes? The likeliest stands in the example."""
    likeliest = min(occurring, key=lambda value: _YES_FIRST.get(str(value).lower(), len(_PAIRS)))
    if str(likeliest).lower() not in _YES_FIRST:
        likeliest = occurring[-1]
    if values.kind == "integer" and set(occurring) == {-1, 0, 1}:
        return (
            f"{what} holds 0, 1 and -1: if -1 means that the label is missing, pass --missing=-1; "
            f"if -1 is a no, say which are yes, as in 'binary:1'; else make it multiclass"
        )
    return (
        f"{what} is binary, but its values are not 0 and 1: {commonest(values)}; "
        f"say which are yes, as in 'binary:{likeliest}'"
    )


def _holds_fractions(column: pa.ChunkedArray) -> bool:
    if not (pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        return False
    values_B: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    inside_B = (values_B >= 0) & (values_B <= 1)
    return bool((inside_B | np.isnan(values_B)).all() and (values_B % 1 > 0).any())


def _probabilities(column: pa.ChunkedArray, what: str) -> Floats:
    values_B = finite_numbers(column, what)
    wrong_B = (values_B < 0) | (values_B > 1)
    require_none(wrong_B, values_B, f"{what} holds probabilities, but leaves 0 to 1")
    return values_B
