"""The records of a run folder as frozen values, field by field as they stand in the files."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Values = Mapping[str, object]
ByTask = Mapping[str, Values]


@dataclass(frozen=True, slots=True)
class Step:
    """A line of steps.jsonl: one optimizer step of one model.

    The tasks' gradients are there where the balancer measured them: `cosines` of each pair under its
    first task, `conflict_rate` the share of pairs below 0.
    """

    model: str
    step: int
    epoch: int
    learning_rate: float
    losses: Mapping[str, float]
    weights: Mapping[str, float]
    train_seconds: float
    relative_rates: Mapping[str, float] = field(default_factory=dict)
    norms: Mapping[str, float] = field(default_factory=dict)
    cosines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    conflict_rate: float | None = None
    magnitude_similarity: float | None = None


@dataclass(frozen=True, slots=True)
class Validation:
    """A line of steps.jsonl: one validation of one model."""

    model: str
    step: int
    epoch: int
    score: float
    is_best: bool
    valid_metrics: Mapping[str, Mapping[str, float]]
    valid_losses: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model, or several together, cost."""

    parameters: int
    train_seconds: float
    train_rows_per_second: float
    microseconds_per_row: float


@dataclass(frozen=True, slots=True)
class Costs:
    """One model for all tasks, and the single-task ones together where they were trained."""

    multi_task: Cost
    single_task: Cost | None = None


@dataclass(frozen=True, slots=True)
class Leak:
    """An input column that predicts a task suspiciously well by itself."""

    column: str
    task: str
    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class LabelCount:
    """Training rows with a label, of a class unknown then, and against their parent's label."""

    name: str
    labelled: int
    unseen: int
    conflicts: int


@dataclass(frozen=True, slots=True)
class Data:
    """Rows by part, input columns, labels, leaks."""

    rows: Mapping[str, int]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    labels: Mapping[str, LabelCount]
    leaks: tuple[Leak, ...]


@dataclass(frozen=True, slots=True)
class Speed:
    """How far and how fast the multi-task model was trained."""

    train_rows_per_second: float
    train_seconds: float
    train_rows: int
    steps: int
    best_step: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """metrics.json. `baseline` is "none" where no single-task models were trained."""

    tasks: Mapping[str, ByTask]
    baseline: str | Mapping[str, Mapping[str, ByTask]]
    gain_over_single: ByTask
    speed: Speed
    cost: Costs
    data: Data
    test_evaluations: int
    seed: int
    environment: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of neighbouring predictions."""

    rows: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    counts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    edges: tuple[float, ...]
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """One task's predictions against its labels; `scale` is logit, linear or log1p."""

    task: str
    kind: str
    scale: str
    calibration: tuple[Bin, ...]
    histogram: Histogram


@dataclass(frozen=True, slots=True)
class Gate:
    """One task's weight on each expert of a level."""

    task: str
    experts: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    level: int = 1
    row_entropy: float | None = None


@dataclass(frozen=True, slots=True)
class Stitch:
    """How much of each source enters each row after a layer; `weights` by row."""

    layer: int
    rows: tuple[str, ...]
    sources: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Mask:
    """How far a task opens a layer's shared features: mean, 10 % and 90 % quantile over them."""

    task: str
    layer: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Label:
    """One task's label in the training rows."""

    task: str
    kind: str
    column: str
    positive: str | None
    unit: str | None
    given: str | None
    transform: str | None
    auxiliary: bool
    reason: str
    labelled: int
    missing: int
    mean: float | None
    most_frequent: str | None
    num_classes: int


@dataclass(frozen=True, slots=True)
class Figures:
    """figures.json."""

    part: str | None
    labels: tuple[Label, ...]
    scores: tuple[Scores, ...]
    gate_part: str
    gate_rows: int
    gates: tuple[Gate, ...]
    stitches: tuple[Stitch, ...] = ()
    masks: tuple[Mask, ...] = ()
    collapse: str | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run folder as far as it goes: what is missing is None, or empty, and named in `missing`.

    `options` is run.yaml, `options_text` the same as it stands there.
    """

    folder: str
    options: Values
    options_text: str
    metrics: Metrics | None
    figures: Figures | None
    steps: tuple[Step, ...]
    validations: tuple[Validation, ...]
    missing: tuple[str, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks' names in the order of the run's configuration."""
        tasks = self.options.get("tasks")
        named = (
            [str(t["name"]) for t in tasks if isinstance(t, Mapping) and "name" in t]
            if (isinstance(tasks, list))
            else []
        )
        return tuple(named)
