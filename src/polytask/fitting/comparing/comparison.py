"""All that was measured of a fit: the run record, which is metrics.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from polytask.balancing import Ranks
from polytask.config import FitConfig
from polytask.fitting.comparing.cost import measure_cost, total_cost
from polytask.fitting.comparing.labels import label_records
from polytask.fitting.comparing.score import rows_by_task, score_tasks
from polytask.fitting.comparing.spool import Spool
from polytask.fitting.mixing import data_set_records
from polytask.fitting.plan import ModelPlan
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.processes.environment import environment
from polytask.metrics import Draws, glossary
from polytask.model import Network
from polytask.records import (
    Cost,
    Costs,
    DataRecord,
    Evaluation,
    Gain,
    RunRecord,
    Speed,
    TaskResult,
    TaskScores,
)
from polytask.streams import Batch
from polytask.task import Task
from polytask.training.evaluation import Predictions
from polytask.training.labelled import predict_labelled_together
from polytask.training.run import TrainingRun
from polytask.training.scoring import TaskRows

PREDICTED_ROWS = 1 << 18
"""Rows of a stored test that are predicted at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNetwork:
    """What came of a training: what predicts, and what it took."""

    network: Network
    seconds: float
    rows: int
    best_step: int
    steps: int

    @classmethod
    def of(cls, run: TrainingRun) -> "TrainedNetwork":
        progress = run.progress
        return cls(
            run.model, progress.train_seconds, progress.rows, progress.best_step, progress.step
        )

    def with_others(self, network: Network, others: Sequence["TrainedNetwork"]) -> "TrainedNetwork":
        """Of a network of several, trained one after another; the steps are those of one."""
        seconds = sum((each.seconds for each in others), self.seconds)
        rows = sum((each.rows for each in others), self.rows)
        return replace(self, network=network, seconds=seconds, rows=rows)


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A trained model with its scores by part ("valid", "test") and its predictions on the test.

    `spool` has those of all test rows, where they are more than `rows`, a draw of them.
    """

    name: str
    model: Network
    scores: dict[str, dict[str, Evaluation]]
    rows: dict[str, TaskRows]
    cost: Cost
    best_step: int
    steps: int
    spool: Spool | None = None

    @classmethod
    def of(
        cls,
        plan: ModelPlan,
        training: TrainedNetwork,
        prepared: Prepared,
        predicted_parts: Mapping[str, Predictions],
        spool: Spool | None = None,
    ) -> "Trained":
        """Evaluate once: validation rows, and test rows if there are any."""
        scores: dict[str, dict[str, Evaluation]] = {}
        rows: dict[str, TaskRows] = {}
        for part, examples in plan.held_out.items():
            predictions = predicted_parts[part]
            # The last part wins: gains are told on the test, or on validation if there is none.
            rows, scores[part] = {}, {}
            notes, intervals = prepared.unknown_classes.get(part), plan.config.intervals
            for tasks, place in plan.tasks_and_rows(part, training.network.tasks):
                predicted, table = predictions.at(place), examples[place]
                own = rows_by_task(tasks, predicted, table)
                rows |= own
                if part != "test" or spool is None:
                    scores[part] |= score_tasks(
                        own, predicted, table, intervals=intervals, notes=notes
                    )
            if part == "test" and spool is not None:
                scores[part] = spool.score(intervals=intervals, notes=notes)
        return cls(
            plan.name,
            training.network,
            scores,
            rows,
            measure_cost(
                training.network,
                plan.train,
                seconds=training.seconds,
                rows=training.rows,
                precision=plan.config.precision,
            ),
            training.best_step,
            training.steps,
            spool,
        )

    def of_task(self, name: str) -> TaskScores:
        """One task's evaluations."""
        return TaskScores(*(self.scores.get(part, {}).get(name) for part in ("valid", "test")))


def predicted_parts(
    plan: ModelPlan, network: Network, ranks: Ranks | None
) -> dict[str, Predictions]:
    """The held-out rows as the network predicts them: by all ranks, for the first one; empty on the others."""
    found = {part: predicted(plan, rows, network, ranks) for part, rows in plan.held_out.items()}
    return {part: each for part, each in found.items() if each is not None}


def spooled_test(plan: ModelPlan, network: Network, ranks: Ranks | None) -> Spool | None:
    """All test rows as the network predicts them, where they are too many for memory: on the first rank."""
    stored, spool = plan.stored_test, None
    if stored is None:
        return None
    for start in range(0, len(stored), PREDICTED_ROWS):
        table = stored[start : start + PREDICTED_ROWS]
        found = predicted(plan, table, network, ranks)
        if found is not None:
            spool = spool or Spool(len(stored))
            spool.add(network.tasks, found, table)
    return spool


def predicted(
    plan: ModelPlan, rows: Batch, network: Network, ranks: Ranks | None
) -> Predictions | None:
    """Rows as a network predicts them, those with a label: by all ranks, for the first one."""
    return predict_labelled_together(network, rows, ranks, precision=plan.config.precision)


def summarize(
    config: FitConfig, prepared: Prepared, trained: Sequence[Trained], *, processes: int
) -> RunRecord:
    """The record of the model for all tasks, trained[0], and of the single-task ones after it."""
    multi, singles = trained[0], trained[1:]
    several = total_cost(single.cost for single in singles) if singles else None
    return RunRecord(
        tasks=_results(multi, singles),
        speed=Speed(
            train_rows_per_second=multi.cost.train_rows_per_second,
            train_seconds=multi.cost.train_seconds,
            train_rows=prepared.num_train,
            steps=multi.steps,
            best_step=multi.best_step,
        ),
        cost=Costs(multi.cost, several),
        data=_data(prepared),
        test_evaluations=1 if prepared.test is not None else 0,
        seed=config.seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment(processes),
        glossary=glossary(task.kind for task in multi.model.tasks),
    )


def _results(multi: Trained, singles: Sequence[Trained]) -> dict[str, TaskResult]:
    """Each goal that was evaluated, in the order of the tasks."""
    found: dict[str, TaskResult] = {}
    draws = Draws()
    single_of = {task.name: single for single in singles for task in single.model.tasks}
    for task in multi.model.tasks:
        scores, single = multi.of_task(task.name), single_of.get(task.name)
        if scores.reported is None:
            continue
        if single is None:
            found[task.name] = TaskResult(scores)
        else:
            gains = _gains(task, multi, single, draws)
            found[task.name] = TaskResult(scores, single.of_task(task.name), gains)
    return found


def _gains(task: Task, multi: Trained, single: Trained, draws: Draws) -> tuple[Gain, ...]:
    if task.name not in multi.rows or task.name not in single.rows:
        return ()
    if multi.spool is not None and single.spool is not None:
        return multi.spool.by_task[task.name].gain_over(single.spool.by_task[task.name])
    return multi.rows[task.name].gain_over(single.rows[task.name], draws=draws)


def _data(prepared: Prepared) -> DataRecord:
    return DataRecord(
        rows=prepared.num_rows,
        inputs={name: one.columns for name, one in prepared.inputs.by_name.items()},
        labels=label_records(prepared),
        leaks=prepared.leaks,
        unused_columns={column.name: column.reason for column in prepared.schema.unused},
        split=prepared.split,
        notes=prepared.notes,
        data_sets=data_set_records(prepared.config, prepared.data_sets),
        seen=prepared.seen,
    )
