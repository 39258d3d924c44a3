"""figures.json: what the report draws and metrics.json does not hold."""

from dataclasses import dataclass
from typing import ClassVar, Literal

Scale = Literal["logit", "linear", "log1p"]
"""On what axis a task's predictions spread evenly."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of neighbouring predictions: their mean, and the labels' mean with its 95 % interval.

    The interval takes rows as independent: Wilson's for rates, the normal one for quantities.
    """

    rows: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Series:
    """Weighted rows in each cell of a histogram."""

    name: str
    counts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """One series a class of rows, over the same edges; rows beyond them are in the end cells."""

    edges: tuple[float, ...]
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class ScoreFigures:
    """A task's predictions against its labels, the scale on which they spread evenly, and their name.

    Multiclass: the probability of the predicted class, and whether it was the right one.
    """

    task: str
    kind: str
    scale: Scale
    calibration: tuple[Bin, ...]
    histogram: Histogram
    title: str = "predicted"


@dataclass(frozen=True, slots=True)
class GateFigures:
    """A task's weight on each expert of a level: mean and standard deviation over the rows."""

    task: str
    level: int
    experts: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StitchFigures:
    """How much of each source enters each row (a task, or a half of its layer) after a layer."""

    layer: int
    rows: tuple[str, ...]
    sources: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class MaskFigures:
    """How far a task opens the shared features of a layer: the mean, and the 10 % and 90 %
    quantiles over the features of their mean over the rows."""

    task: str
    layer: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Figures:
    """figures.json. `part` is where the scores are from, `gate_part` what the trunk was seen on.

    `collapse` says in words which experts are of no use, if any.
    """

    FORMAT: ClassVar[str] = "polytask figures"

    part: str | None
    scores: tuple[ScoreFigures, ...]
    gate_part: str
    gate_rows: int
    gates: tuple[GateFigures, ...] = ()
    stitches: tuple[StitchFigures, ...] = ()
    masks: tuple[MaskFigures, ...] = ()
    collapse: str | None = None
