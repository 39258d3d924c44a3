"""study.json: an honest comparison of ways to train, as far as it has come; and a line for each training of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from polytask.records.metrics import Direction, Gain, MetricValue
from polytask.records.run import EnvironmentRecord

Group = Literal["single", "equal", "static", "rlw", "method", "trees"]
"""What a row is: separate models, one of the mandatory rows, or another configuration."""
State = Literal["done", "pruned", "failed"]


@dataclass(frozen=True, slots=True)
class StudyTask:
    """A goal and the metric that it is compared by."""

    name: str
    kind: str
    metric: str
    title: str
    direction: Direction
    meaning: str


@dataclass(frozen=True, slots=True)
class TrialLine:
    """One trial that ended: what was chosen, how it scored on validation rows, or why it failed."""

    configuration: str
    place: int
    state: State
    score: float | None
    seconds: float
    chosen: Mapping[str, float | str]
    valid: Mapping[str, float]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FinalRecord:
    """One training of a row's best options under one of the seeds; its predictions lie beside it.

    `memory` is the most that the process had resident, in bytes; `passes` are backward passes a step.
    """

    FORMAT: ClassVar[str] = "polytask study training"

    row: str
    tasks: tuple[str, ...]
    seed: int
    valid: Mapping[str, float]
    seconds: float
    memory: int
    passes: float
    parameters: int


@dataclass(frozen=True, slots=True)
class Paired:
    """A difference to another row on the same test rows under the same seeds.

    `p_value` is that of the t statistic which the interval rests on, `holm` the one after Holm's correction
    over all rows and tasks; None where there is no interval.
    """

    gain: Gain
    p_value: float | None = None
    holm: float | None = None

    @property
    def verdict(self) -> Literal["better", "worse", "none", "open"]:
        """After correction: better, worse, no detectable difference, or not known."""
        if self.holm is None:
            return "open"
        if self.holm >= 0.05:
            return "none"
        return "better" if self.gain.value > 0 else "worse"


@dataclass(frozen=True, slots=True)
class StudyCell:
    """A task of a row: the test metric, its mean over seeds with its interval, and the differences."""

    task: str
    value: MetricValue
    over_equal: Paired | None = None
    over_single: Paired | None = None


@dataclass(frozen=True, slots=True)
class DeltaM:
    """The mean relative drop against separate models in per cent: above 0 is worse.

    `over_metrics` takes every metric of every task alike; `over_tasks` first takes the mean within a task.
    """

    over_metrics: float
    over_tasks: float
    num_metrics: int


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One way to train, with what the trials chose for it and what it reached on the test rows.

    `chosen` holds the options of the best trial: of separate models and trees, each under its task.
    `options` are what a fit would be given. `seconds` is the training time of one seed.
    """

    name: str
    title: str
    group: Group
    trunk: str
    balancer: str
    auxiliary: tuple[str, ...]
    trials: int
    pruned: int
    failed: int
    score: float | None
    chosen: Mapping[str, float | str]
    cells: tuple[StudyCell, ...] = ()
    mean_over_equal: Paired | None = None
    mean_over_single: Paired | None = None
    delta_m: DeltaM | None = None
    mean_rank: float | None = None
    seconds: float | None = None
    memory: int | None = None
    passes: float | None = None
    parameters: int | None = None

    @property
    def is_seesaw(self) -> bool:
        """Whether one task gains and another loses against separate models, beyond noise."""
        found = {cell.over_single.verdict for cell in self.cells if cell.over_single is not None}
        return {"better", "worse"} <= found


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """Validation metrics of one training of static weights, or of a row's best trial."""

    title: str
    group: Group
    weights: tuple[float, ...]
    valid: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Advice:
    """What to use: `row` is recommended, `best` has the highest validation score, `ties` are those that
    validation rows do not tell from it. `configs` are files that `polytask fit --config` takes.
    """

    row: str
    best: str
    ties: tuple[str, ...]
    configs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """All of study.json.

    `seeds` are those that every row has been trained under, on which figures rest. `notes` say what was
    left out, failed, or could not be done in the budget. `rank_set` names the rows of the mean rank.
    """

    FORMAT: ClassVar[str] = "polytask study"

    name: str
    tasks: tuple[StudyTask, ...]
    rows: tuple[StudyRow, ...]
    trials: tuple[TrialLine, ...]
    front: tuple[FrontPoint, ...]
    front_tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    num_seeds: int
    num_trials: int
    rank_set: tuple[str, ...]
    advice: Advice | None
    num_rows: Mapping[str, int]
    split: str
    notes: tuple[str, ...]
    is_finished: bool
    seconds: float
    budget: float
    command: str
    created: str
    environment: EnvironmentRecord
    running: Mapping[str, str] = field(default_factory=dict)
