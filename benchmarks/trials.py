"""Many trainings of one prepared table, side by side on the machine's cores, one thread each."""

import dataclasses
import math
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from polytask.config import validate_config
from polytask.fitting.building import start_training
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.plan import ModelPlan, multi_task, single_task
from polytask.fitting.preparing.prepare import Prepared, prepare
from polytask.streams import Batch
from polytask.training.evaluation import predict
from polytask.training.loop import train
from polytask.training.run import TrainingRun
from polytask.training.scoring import TaskRows

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("POLYTASK_DATA", ROOT.parent / "shared" / "data"))
Values = Mapping[str, object]


@dataclass(frozen=True)
class Trial:
    """One training: options over the table's own, on a share of the training rows.

    `single`: a network a task in the place of one for all, trained one after another.
    `keep_last`: the weights after the last epoch, whatever validation would say.
    """

    options: Values
    share: float = 1.0
    single: bool = False
    keep_last: bool = False
    metrics: tuple[str, ...] = ("auc",)


@dataclass(frozen=True)
class Outcome:
    """Metrics by part, task and metric at the best validation; seconds of training."""

    trial: Trial
    metrics: dict[tuple[str, str, str], float]
    parameters: int
    seconds: float

    def of(self, part: str, task: str, metric: str) -> float:
        return self.metrics[part, task, metric]


def run_trials(
    base: Values, trials: Sequence[Trial], *, workers: int = os.cpu_count() or 1
) -> Iterator[Outcome]:
    """Outcomes in the order of the trials; the table is prepared once a process."""
    with ProcessPoolExecutor(workers, initializer=_prepare, initargs=(dict(base),)) as pool:
        yield from pool.map(_run, trials)


_prepared: Prepared | None = None


def _prepare(base: Values) -> None:
    global _prepared
    torch.set_num_threads(1)
    _prepared = prepare(validate_config(base))


def _run(trial: Trial) -> Outcome:
    assert _prepared is not None
    config = validate_config(_prepared.config.model_dump() | dict(trial.options))
    plans = (
        [single_task(config, _prepared, t) for t in range(len(_prepared.tasks))]
        if trial.single
        else [multi_task(config, _prepared)]
    )
    started = time.perf_counter()
    metrics: dict[tuple[str, str, str], float] = {}
    parameters = 0
    for plan in plans:
        plan = _part(plan, trial.share, seed=config.split_seed)
        run = begun(plan, _prepared)
        for _ in train(run, plan.stream(), valid=None if trial.keep_last else plan.valid):
            pass
        parameters += sum(p.numel() for p in run.model.parameters())
        for part in ("train", "valid", "test"):
            examples = getattr(plan, part)
            if part == "train":
                examples = examples[: min(len(examples), 50_000)]
            metrics |= {
                (part, task, metric): value
                for (task, metric), value in _metrics(run, examples, trial.metrics).items()
            }
    return Outcome(trial, metrics, parameters, time.perf_counter() - started)


def begun(plan: ModelPlan, prepared: Prepared) -> TrainingRun:
    """The plan's model before its first step."""
    return start_training(plan, prepared, OwnParts(), device=torch.device("cpu"))


def _part(plan: ModelPlan, share: float, *, seed: int) -> ModelPlan:
    if share == 1.0:
        return plan
    size = len(plan.train)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(size, generator=generator)[: round(share * size)].sort().values
    lengths_B = None if plan.lengths_B is None else plan.lengths_B[chosen]
    return dataclasses.replace(plan, train=plan.train[chosen], lengths_B=lengths_B)


def _metrics(run: TrainingRun, table: Batch, names: Sequence[str]) -> dict[tuple[str, str], float]:
    values = predict(run.model, table).values
    rows = [TaskRows.of(task, values[task.name], table) for task in run.model.tasks]
    return {
        (each.task.name, name): each.metric(name)
        for each in rows
        for name in names
        if name in [metric.name for metric in each.task.kind.metrics]
    }


T_95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}


def interval(values: Sequence[float]) -> str:
    """Mean and half-width of Student's 95 % interval."""
    if len(values) < 2:
        return f"{values[0]:.4f}"
    half = T_95[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):.4f} +- {half:.4f}"
