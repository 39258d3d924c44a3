"""transfer.json: which tasks belong together, as measured; and a line for each training of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from polytask.records.metrics import Direction, Gain, MetricValue
from polytask.records.run import EnvironmentRecord

Matrix = tuple[tuple[float | None, ...], ...]
"""Rows of numbers; None where there is none."""


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """What was asked for beside the options of a fit.

    `budget` is the most trainings, `seeds` how often each set of tasks is trained (None: by the
    budget), `rows` how many training rows are drawn (None: all), `max_models` the most groups,
    `widths` those of the shared layer that the capacity sweep tries.
    """

    FORMAT: ClassVar[str] = "polytask transfer options"

    budget: int = 60
    seeds: int | None = None
    rows: int | None = None
    max_models: int | None = None
    widths: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyOrigin:
    """Checksums of the options and rows that a study was started on."""

    FORMAT: ClassVar[str] = "polytask transfer origin"

    parts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """One finished training: of which tasks, under which seed, and what was seen on the way.

    `variant` says how it differs from the options ("" where it does not). `valid` are main metrics;
    `affinity`, `cosines` and `conflicts` are (T, T) means over the run, where they were measured.
    """

    FORMAT: ClassVar[str] = "polytask training"

    tasks: tuple[str, ...]
    seed: int
    variant: str
    valid: Mapping[str, float]
    steps: int
    seconds: float
    affinity: Matrix = ()
    cosines: Matrix = ()
    conflicts: Matrix = ()


@dataclass(frozen=True, slots=True)
class TransferTask:
    """A task and what is known of its label; `alone` is its own model's main metric on validation
    (None where it is not defined there).

    `too_few` says why gains cannot be told from chance here; None where they can.
    """

    name: str
    kind: str
    metric: str
    direction: Direction
    train_labels: int
    valid_labels: int
    valid_positives: int | None
    alone: MetricValue | None
    too_few: str | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """What `cause` does to `task`: a gain of its main metric, positive where it is better for it."""

    cause: str
    task: str
    gain: Gain


@dataclass(frozen=True, slots=True)
class CheapScore:
    """A score of every pair that costs no training of pairs, and how it ordered the measured gains.

    `matrix`[i][j] is of what task i does for task j. `correlation` is Spearman's with the measured
    gains of the `num_gains` directed pairs that have both.
    """

    name: str
    title: str
    meaning: str
    matrix: Matrix
    num_gains: int
    correlation: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class GroupingRecord:
    """A way to train all tasks in groups: its gains over one model a task, `part` says on which rows.

    `expected` is the mean gain that the pairs promise, `mean` the measured one; `gains` are a task's.
    """

    title: str
    groups: tuple[tuple[str, ...], ...]
    expected: float | None
    mean: Gain | None
    gains: tuple[Effect, ...]
    part: str


@dataclass(frozen=True, slots=True)
class Remedy:
    """What mends a task that is worse beside the others than alone: its gain over the model of all."""

    title: str
    task: str
    over_together: Gain
    over_alone: Gain


@dataclass(frozen=True, slots=True)
class CapacityPoint:
    """A task's main metric at one width of the shared layer: alone, and in the model of all tasks."""

    width: int
    task: str
    together: float
    together_error: float | None
    alone: float
    alone_error: float | None


@dataclass(frozen=True, slots=True)
class TransferRecord:
    """All of transfer.json.

    `order` names the tasks that were studied, in the order of the matrices; others of `tasks` have too
    few labels and were only trained alone. `pairs` are gains of `task` beside `cause` alone over `task` by itself; `together` those of the
    model of all tasks, `left_out` those of leaving `cause` out of it. Gains are on validation rows
    unless a part is named. `seconds` are those of all trainings.
    """

    FORMAT: ClassVar[str] = "polytask transfer"

    name: str
    tasks: tuple[TransferTask, ...]
    order: tuple[str, ...]
    pairs: tuple[Effect, ...]
    together: tuple[Effect, ...]
    left_out: tuple[Effect, ...]
    scores: tuple[CheapScore, ...]
    groupings: tuple[GroupingRecord, ...]
    remedies: tuple[Remedy, ...]
    capacity: tuple[CapacityPoint, ...]
    rows: Mapping[str, int]
    num_seeds: int
    num_trainings: int
    seconds: float
    split: str
    notes: tuple[str, ...]
    command: str
    created: str
    environment: EnvironmentRecord
