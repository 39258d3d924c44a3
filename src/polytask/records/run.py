"""metrics.json: all that was measured of a fit, and on what."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from polytask.records.auxiliary import AuxiliaryRecord
from polytask.records.comparison import Row
from polytask.records.html import abridged, html_table
from polytask.records.metrics import Evaluation, Gain
from polytask.records.seen import SeenRecord

LeakMetric: TypeAlias = Literal["AUC", "R2"]


@dataclass(frozen=True, slots=True)
class Leak:
    """An input column that predicts a task suspiciously well by itself."""

    column: str
    task: str
    metric: LeakMetric
    value: float

    @property
    def stops(self) -> bool:
        """Whether it is too good to be trained on unseen.

        R2 0.99 alone is a formula of the label; a strong predictor, such as yesterday's level of a
        river, reaches 0.95.
        """
        return self.value > 0.99

    @property
    def finding(self) -> str:
        """What was found, in words."""
        return f"{self.column!r} alone gives {self.task} {self.metric} {self.value:.3f}"


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """A task's label in the training rows.

    `mean` is the share of yes, or the mean in the label's own unit; for classes the share of the
    most frequent one, which is `most_frequent`. None where no row is labelled. `unseen` rows are of a
    class unknown to training, `conflicts` say yes where the parent task says no.
    """

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
    unseen: int
    conflicts: int
    mean: float | None
    most_frequent: str | None
    num_classes: int
    is_share: bool = False


@dataclass(frozen=True, slots=True)
class DataSetRecord:
    """One of several data sets that a model was trained on.

    `batches` of each epoch are of it, which is a `share` of all, and `passes` times its training rows.
    """

    name: str
    tasks: tuple[str, ...]
    rows: Mapping[str, int]
    batches: int
    share: float
    passes: float


@dataclass(frozen=True, slots=True)
class DataRecord:
    """What was read: rows by part ("train", "valid", "test"), inputs, labels, possible leaks.

    `unused_columns` maps a column to the reason why it is no input; `split` says in words how the
    parts were parted, `notes` how columns were read, a line each. `seen` are the training rows of the runs whose inputs
    go on in this one (--grow), and its own, the last. Where the table lies stands in run.yaml: a fact of one machine, not of the data.
    """

    rows: Mapping[str, int]
    inputs: Mapping[str, tuple[str, ...]]
    labels: tuple[LabelRecord, ...]
    leaks: tuple[Leak, ...]
    unused_columns: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    notes: tuple[str, ...] = ()
    data_sets: tuple[DataSetRecord, ...] = ()
    seen: tuple[SeenRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model, or several together, cost; microseconds a row are those of prediction in batches."""

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
class Speed:
    """How far and how fast the model for all tasks was trained; `best_step` is the one kept."""

    train_rows_per_second: float
    train_seconds: float
    train_rows: int
    steps: int
    best_step: int


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """What the figures of a run depend on beside its options."""

    processes: int
    polytask: str
    torch: str
    python: str
    platform: str
    cpu_capability: str
    cpus: int
    threads: int


@dataclass(frozen=True, slots=True)
class TaskScores:
    """One model's evaluations of one task."""

    valid: Evaluation | None = None
    test: Evaluation | None = None

    @property
    def reported(self) -> Evaluation | None:
        """The test's, or validation's where there is no test."""
        return self.test or self.valid


@dataclass(frozen=True, slots=True)
class TaskResult:
    """A task's evaluations by the model for all tasks and by its single-task model, and the gains."""

    multi: TaskScores
    single: TaskScores | None = None
    gains: tuple[Gain, ...] = ()

    @property
    def valid(self) -> Evaluation | None:
        """The model for all tasks, on the validation rows."""
        return self.multi.valid

    @property
    def test(self) -> Evaluation | None:
        """The model for all tasks, on the test rows."""
        return self.multi.test

    def gain(self, metric: str) -> Gain | None:
        """The gain over the single-task model in a metric; None where it was not compared."""
        return next((gain for gain in self.gains if gain.name == metric), None)

    def rows(self, task: str) -> Iterator[Row]:
        """A row a reported metric, the main one first; none where nothing was measured."""
        ours = self.multi.reported
        theirs = self.single.reported if self.single is not None else None
        for place, metric in enumerate(ours.all_metrics() if ours is not None else ()):
            single = theirs[metric.name] if theirs is not None and metric.name in theirs else None
            yield Row(task, place == 0, metric, single, self.gain(metric.name))

    def __repr__(self) -> str:
        shown = "; ".join(f"{row.multi.name} {row.multi}, gain {row.gain}" for row in self.rows(""))
        return f"TaskResult({shown or 'not measured'})"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """All of metrics.json.

    `tasks` holds the goals, not the auxiliary tasks. `glossary` says of each metric's name what it
    means, `advice` what should be known of the training's length. `test_evaluations` counts the test tables that the run has met. `created` is the UTC time
    of the end of the fit, in ISO 8601. `auxiliary` is there where something was trained on for the
    goals' sake.

    `run.metrics.tasks["click"].test["auc"].value` is a metric, `...gain("auc")` its gain.
    """

    FORMAT: ClassVar[str] = "polytask metrics"

    tasks: Mapping[str, TaskResult]
    speed: Speed
    cost: Costs
    data: DataRecord
    test_evaluations: int
    seed: int
    created: str
    environment: EnvironmentRecord
    glossary: Mapping[str, str]
    advice: tuple[str, ...] = ()
    auxiliary: AuxiliaryRecord | None = None

    @property
    def reported_part(self) -> str | None:
        """ "test", "valid" where there is no test, or None where nothing was measured."""
        scores = [result.multi for result in self.tasks.values()]
        if any(each.test is not None for each in scores):
            return "test"
        return "valid" if any(each.valid is not None for each in scores) else None

    @property
    def num_single_models(self) -> int:
        """How many single-task models were trained beside it."""
        return sum(result.single is not None for result in self.tasks.values())

    def main_rows(self) -> list[Row]:
        """The main metric of each task that was measured."""
        found = (next(result.rows(task), None) for task, result in self.tasks.items())
        return [row for row in found if row is not None]

    def __repr__(self) -> str:
        shown = abridged(f"{r.task} {r.multi.name} {r.multi.value:.4f}" for r in self.main_rows())
        return f"RunRecord({self.reported_part or 'not measured'}: {shown})"

    def _repr_html_(self) -> str:
        shown = 5 if self.num_single_models else 3
        header = ("task", "metric", "multi-task", "single-task", "gain")[:shown]
        rows = [
            (row.task, row.multi.title, str(row.multi), str(row.single), str(row.gain))[:shown]
            for row in self.main_rows()
        ]
        caption = f"{self.reported_part or 'not measured'}; ~ the interval of a gain covers zero"
        return html_table(header, rows, caption=caption)

    def to_dict(self) -> dict[str, float]:
        """The reported numbers, flat: "click/auc", "click/auc/single", "click/auc/gain", ..."""
        flat: dict[str, float] = {}
        for task, result in self.tasks.items():
            for suffix, scores in (("", result.multi), ("/single", result.single)):
                evaluation = scores.reported if scores is not None else None
                if evaluation is not None:
                    flat |= {f"{task}/{m.name}{suffix}": m.value for m in evaluation.all_metrics()}
            flat |= {f"{task}/{gain.name}/gain": gain.value for gain in result.gains}
        return flat
