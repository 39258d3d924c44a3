"""All that was measured of a fit: the content of metrics.json."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from polytask.config import FitConfig
from polytask.fitting.comparing.cost import Cost, measure_cost, total_cost
from polytask.fitting.comparing.score import Metrics, TaskScore, rows_by_task, score_tasks
from polytask.fitting.plan import Plan
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.processes.environment import environment
from polytask.model import MultiTaskModel
from polytask.task import Task
from polytask.training.evaluation import predict
from polytask.training.run import TrainingRun
from polytask.training.scoring import TaskRows


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A trained model with its scores by part ("valid", "test") and its predictions on the test."""

    name: str
    model: MultiTaskModel
    scores: dict[str, dict[str, TaskScore]]
    rows: dict[str, TaskRows]
    cost: Cost
    best_step: int
    steps: int

    @classmethod
    def of(cls, plan: Plan, run: TrainingRun, prepared: Prepared) -> "Trained":
        """Evaluate once: validation rows, and test rows if there are any."""
        scores: dict[str, dict[str, TaskScore]] = {}
        rows: dict[str, TaskRows] = {}
        for part, examples in (("valid", plan.valid), ("test", plan.test)):
            if examples is None:
                continue
            predictions = predict(run.model, examples, precision=plan.config.precision)
            # The last part wins: gains are told on the test, or on validation if there is none.
            rows = rows_by_task(run.model.tasks, prepared.targets, predictions, examples)
            scores[part] = score_tasks(rows, predictions, examples, intervals=plan.config.intervals)
        return cls(
            plan.name,
            run.model,
            scores,
            rows,
            measure_cost(run, plan.train),
            run.progress.best_step,
            run.progress.step,
        )


def summarize(
    config: FitConfig, prepared: Prepared, trained: Sequence[Trained], *, processes: int
) -> Metrics:
    """metrics.json of the model for all tasks, trained[0], and of the single-task ones after it."""
    multi, singles = trained[0], trained[1:]
    metrics: Metrics = {
        "tasks": _by_task(multi),
        "baseline": {"single": _merged(singles)} if singles else "none",
        "gain_over_single": {
            task.name: _gains(task, multi, single)
            for single in singles
            for task in single.model.tasks
        },
        "speed": {
            "train_rows_per_second": multi.cost.train_rows_per_second,
            "train_seconds": multi.cost.train_seconds,
            "train_rows": len(prepared.train),
            "steps": multi.steps,
            "best_step": multi.best_step,
        },
        "cost": {"multi_task": asdict(multi.cost)},
        "data": _data(prepared),
        "test_evaluations": 1 if prepared.test is not None else 0,
        "seed": config.seed,
        "environment": environment(processes),
    }
    if singles:
        cost = {"single_task": asdict(total_cost(single.cost for single in singles))}
        metrics["cost"] = {"multi_task": asdict(multi.cost), **cost}
    return metrics


def _by_task(trained: Trained) -> dict[str, dict[str, object]]:
    by_task: dict[str, dict[str, object]] = {}
    for part, scores in trained.scores.items():
        for name, score in scores.items():
            by_task.setdefault(name, {})[part] = score.to_dict()
    return by_task


def _merged(singles: Sequence[Trained]) -> dict[str, dict[str, object]]:
    return {name: parts for single in singles for name, parts in _by_task(single).items()}


def _gains(task: Task, multi: Trained, single: Trained) -> dict[str, object]:
    if task.name not in multi.rows or task.name not in single.rows:
        return {}
    record: dict[str, object] = {}
    for gain in multi.rows[task.name].gain_over(single.rows[task.name]):
        record[gain.name] = gain.value
        if gain.interval is not None:
            record[f"{gain.name}_interval"] = [gain.interval.low, gain.interval.high]
    return record


def _data(prepared: Prepared) -> dict[str, object]:
    parts = {"train": prepared.train, "valid": prepared.valid, "test": prepared.test}
    return {
        "rows": {name: len(part) for name, part in parts.items() if part is not None},
        "numeric": [column.name for column in prepared.columns.numeric],
        "categorical": [column.name for column in prepared.columns.categorical],
        "labels": {count.name: asdict(count) for count in prepared.label_counts},
        "leaks": [asdict(leak) for leak in prepared.leaks],
    }
