"""Which auxiliary tasks help where labels are few? Each beside the same model without it.

    python reproductions/auxiliary.py                     # as reported: five seeds, two tables, three shares
    python reproductions/auxiliary.py --quick             # two seeds, one table of 20,000 rows, 1 % of its labels
    python reproductions/auxiliary.py --data kuairand --labels 0.01

Census-Income (income, never married) and KuaiRand-Pure (click, like), with 1 %, 10 % and 100 % of the training
rows labelled; the others keep their inputs alone. Another share of the rows every seed. A batch is
labelled rows (128, 256, 1,024) and, where a part learns from rows without labels, as many of these.
All arms take the same steps on the same labelled rows, start alike, and are validated on the same rows.
Every arm has three candidates and one run on seed 100 for each: the learning rate of the model
without anything, the weight of the part for the others. What validates best then has five seeds. Gains on the
test rows are paired by seed, with Student's 95 % intervals. Finished trainings are kept in
runs/auxiliary, so that a run that was stopped resumes. Reads the data from POLYTASK_DATA
(else ../shared/data).
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from polytask.auxiliary import Auxiliary
from polytask.config import FitConfig, validate_config
from polytask.fitting import prepare
from polytask.fitting.building import start_training
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.plan import ModelPlan
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.warm_start import warm_start
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream, Stream
from polytask.streams.stream import WHOLE, Part
from polytask.task import Task
from polytask.training import train
from polytask.training.evaluation import predict
from polytask.training.scoring import TaskRows

DATA = Path(
    os.environ.get("POLYTASK_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)
FOLDER = Path("runs/auxiliary")
TUNING_SEED = 100
RATES, WEIGHTS, ALONE_EPOCHS = (0.001, 0.003, 0.01), (0.1, 0.3, 1.0), (1.0, 2.0, 4.0)
LABELS = (0.01, 0.1, 1.0)
STEPS = {0.01: (30, 128), 0.1: (6, 256), 1.0: (2, 1024)}
"""Epochs over the labelled rows and rows a batch, by the share of labels."""
MOST_VALID = 10_000

CENSUS: Mapping[str, object] = {
    "table": str(DATA / "census_income_train.parquet"),
    "test": str(DATA / "census_income_test.parquet"),
    "tasks": [
        "income:binary:50000+",
        "never_married=marital_status:binary:Never married",
        {"name": "related", "column": "weeks_worked", "kind": "regression", "auxiliary": True},
    ],
    "ignore": "education,marital_status,instance_weight",
    "auxiliary": [
        "replaced_values",
        "masked_columns",
        {"name": "frequency", "column": "occupation_code"},
    ],
}
KUAIRAND: Mapping[str, object] = {
    "table": str(DATA / "kuairand_pure.parquet"),
    "derive": ("play_seconds = play_time_ms / 1000", "hour = hourmin // 100"),
    "tasks": [
        "click=is_click",
        "like=is_like",
        {
            "name": "related",
            "column": "play_seconds",
            "kind": {"name": "regression", "transform": "log1p"},
            "auxiliary": True,
        },
    ],
    "after": "is_follow,is_comment,is_forward,is_hate,is_profile_enter,long_view",
    "categorical": "hour",
    "time_column": "time_ms",
    "valid_from": 1651593600000,
    "test_from": 1651680000000,
    "auxiliary": [
        "replaced_values",
        "masked_columns",
        {"name": "frequency", "column": "video_id"},
    ],
}
TABLES = {"census": CENSUS, "kuairand": KUAIRAND}
COMMON: Mapping[str, object] = {
    "trunk": {"name": "shared_bottom", "hidden": [128, 64]},
    "embedding_dim": 8,
    "cross_layers": 0,
    "ensemble": 1,
    "threads": 1,
    "patience": 0,
}


@dataclass(frozen=True, slots=True)
class Arm:
    """What is added: losses or the related task, on labelled rows or on all, and before the rest or with it."""

    title: str
    losses: tuple[str, ...] = ()
    is_related: bool = False
    on_all_rows: bool = True
    is_first: bool = False

    @property
    def candidates(self) -> tuple[float, ...]:
        if not self.losses and not self.is_related:
            return RATES
        return ALONE_EPOCHS if self.is_first else WEIGHTS


NOTHING = Arm("nothing", on_all_rows=False)
ARMS = (
    NOTHING,
    Arm("replaced values", ("replaced_values",)),
    Arm("masked columns", ("masked_columns",)),
    Arm("frequency of a category", ("frequency",)),
    Arm("related label, known where the goals are", is_related=True, on_all_rows=False),
    Arm("related label, known everywhere", is_related=True),
    Arm("both losses alone, then the goals", ("replaced_values", "masked_columns"), is_first=True),
)


@dataclass(frozen=True, slots=True)
class WithUnlabelled(Stream):
    """Batches of labelled rows, and below them as many rows of the others, drawn by (seed, epoch, index)."""

    labelled: InMemoryStream
    others: Batch

    def num_batches(self, epoch: int) -> int:
        return self.labelled.num_batches(epoch)

    def num_rows(self, seed: int, epoch: int, index: int) -> int:
        return 2 * self.labelled.num_rows(seed, epoch, index)

    def batch(self, seed: int, epoch: int, index: int, part: Part = WHOLE) -> Batch:
        own = self.labelled.batch(seed, epoch, index)
        rng = np.random.default_rng([seed, epoch, index])
        more = self.others[torch.from_numpy(rng.integers(len(self.others), size=len(own)))]
        return _below(own, more).part(*part)


def _below(first: Batch, second: Batch) -> Batch:
    labels = {
        name: torch.cat(
            [value, second.labels.get(name, torch.full_like(value, torch.nan)[: len(second)])]
        )
        for name, value in first.labels.items()
    }
    inputs = {name: torch.cat([value, second.inputs[name]]) for name, value in first.inputs.items()}
    return Batch(inputs, labels)


@dataclass(slots=True, eq=False)
class Study:
    """One table with one share of its labels; trains what is not yet in the folder."""

    name: str
    share: float
    prepared: Prepared
    folder: Path

    @property
    def goals(self) -> list[Task]:
        return [task for task in self.prepared.tasks if not task.auxiliary]

    def scores(self, arm: Arm, value: float, seed: int, rate: float) -> dict[str, dict[str, float]]:
        """Metrics of the goals on validation and test rows, kept by what they are of."""
        key = f"{self.name} {self.share} {arm.title} {value} {rate} {seed}"
        path = self.folder / f"{key.replace(' ', '_').replace(',', '')}.json"
        if not path.is_file():
            started = time.perf_counter()
            found = self._trained(arm, value, seed, rate)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(found))
            print(f"  {key}: {time.perf_counter() - started:.1f} s", flush=True)
        result: dict[str, dict[str, float]] = json.loads(path.read_text())
        return result

    def chosen(self, arm: Arm, rate: float) -> float:
        """The candidate that is best on validation under the tuning seed."""
        values = {
            value: np.mean([*self.scores(arm, value, TUNING_SEED, rate)["valid"].values()])
            for value in arm.candidates
        }
        return max(values, key=lambda value: values[value])

    def _trained(
        self, arm: Arm, value: float, seed: int, rate: float
    ) -> dict[str, dict[str, float]]:
        labelled, others = self._rows(seed, arm)
        config = self._config(arm, value, seed, value if arm is NOTHING else rate)
        tasks = self.prepared.tasks if arm.is_related else tuple(self.goals)
        losses = [each for each in self.prepared.auxiliaries if each.name in arm.losses]
        weighed = tuple(replace(each, weight=value) for each in losses)
        plan = self._plan(config, tasks, labelled, () if arm.is_first else weighed)
        run = start_training(plan, self.prepared, OwnParts(), device=torch.device("cpu"))
        if arm.is_first:
            self._start_from_losses(run.model, config, losses, others, round(value))
        stream: Stream = InMemoryStream(labelled, STEPS[self.share][1])
        if arm.on_all_rows and self.share < 1 and not arm.is_first:
            stream = WithUnlabelled(stream, others)
        for loss in plan.auxiliaries:
            stream = loss.extend(stream)
        for _ in train(run, stream, valid=plan.valid):
            pass
        return {part: self._metrics(run.model, part) for part in ("valid", "test")}

    def _rows(self, seed: int, arm: Arm) -> tuple[Batch, Batch]:
        """The rows whose labels are known, and all rows without the goals' labels."""
        train_rows = self.prepared.train
        chosen = torch.randperm(len(train_rows), generator=torch.Generator().manual_seed(seed))
        names = {task.name for task in self.goals} | ({"related"} if arm.is_related else set())
        known = {name: train_rows.labels[name] for name in names}
        whole = Batch(train_rows.inputs, known)
        hidden = {name: value for name, value in known.items() if name == "related"}
        labelled = whole[chosen[: round(self.share * len(train_rows))]]
        return labelled, Batch(train_rows.inputs, hidden)

    def _config(self, arm: Arm, value: float, seed: int, rate: float) -> FitConfig:
        epochs, batch_size = STEPS[self.share]
        changes: dict[str, object] = {
            "seed": seed,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": rate,
            "validations_per_epoch": max(1, 10 // epochs),
        }
        if arm.is_related:
            changes["weight"] = {"related": value}
        return self.prepared.config.model_copy(update=changes)

    def _plan(
        self,
        config: FitConfig,
        tasks: Sequence[Task],
        rows: Batch,
        losses: Sequence[Auxiliary],
    ) -> ModelPlan:
        valid = self.prepared.valid
        assert valid is not None
        return ModelPlan(
            self.name,
            "baseline",
            config,
            tuple(tasks),
            rows,
            valid[:MOST_VALID],
            self.prepared.test,
            auxiliaries=tuple(losses),
        )

    def _start_from_losses(
        self,
        model: MultiTaskModel,
        config: FitConfig,
        losses: Sequence[Auxiliary],
        rows: Batch,
        epochs: int,
    ) -> None:
        """The losses alone on all rows, batches of 1,024; the model then has these weights."""
        own = config.model_copy(update={"epochs": epochs, "batch_size": 1024})
        balanced = [replace(each, weight="balanced") for each in losses]
        first = self._plan(own, self.goals, Batch(rows.inputs), balanced)
        run = start_training(first, self.prepared, OwnParts(), device=torch.device("cpu"))
        for _ in train(run, first.stream()):
            pass
        warm_start(model, self.prepared.inputs, run.model, self.prepared.inputs)

    def _metrics(self, model: MultiTaskModel, part: str) -> dict[str, float]:
        rows = self.prepared.test if part == "test" else self.prepared.valid
        assert rows is not None
        rows = rows[:MOST_VALID] if part == "valid" else rows
        predictions = predict(model, rows).values
        return {
            task.name: float(TaskRows.of(task, predictions[task.name], rows).metric("auc"))
            for task in self.goals
        }


def show(study: Study, num_seeds: int) -> Iterator[str]:
    """Rows of the table: the model without anything, then the gain of each part."""
    rate = study.chosen(NOTHING, 0.0)
    plain = [study.scores(NOTHING, rate, seed, 0.0)["test"] for seed in range(num_seeds)]
    names = [task.name for task in study.goals]
    base = " | ".join(f"{np.mean([each[n] for each in plain]):.4f}" for n in names)
    yield f"| {study.name} | {study.share:.0%} | {NOTHING.title} ({rate:g}) | {base} |"
    for arm in ARMS[1:]:
        value = study.chosen(arm, rate)
        found = [study.scores(arm, value, seed, rate)["test"] for seed in range(num_seeds)]
        cells = [
            in_words(np.array([a[n] - b[n] for a, b in zip(found, plain)], float)) for n in names
        ]
        yield f"| {study.name} | {study.share:.0%} | {arm.title} ({value:g}) | {' | '.join(cells)} |"


def in_words(gain_S: np.ndarray) -> str:
    """The mean gain and its interval over seeds; bold where it does not cover zero."""
    reach = stats.t.ppf(0.975, len(gain_S) - 1) * gain_S.std(ddof=1) / len(gain_S) ** 0.5
    text = f"{gain_S.mean():+.4f} +- {reach:.4f}"
    return f"**{text}**" if abs(gain_S.mean()) > reach else text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", choices=[*TABLES], action="append")
    parser.add_argument("--labels", type=float, choices=LABELS, action="append")
    parser.add_argument("--seeds", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = given.data or (["census"] if given.quick else [*TABLES])
    shares = given.labels or ([0.01] if given.quick else LABELS)
    num_seeds = given.seeds or (2 if given.quick else 5)
    started, lines = time.perf_counter(), []
    for name in names:
        prepared = prepare(validate_config({**COMMON, **TABLES[name]}))
        if given.quick:
            prepared = replace(prepared, train=prepared.train[:20_000])
        folder = FOLDER / ("quick" if given.quick else "full")
        for share in shares:
            study = Study(name, share, prepared, folder)
            lines.append("| | labels | | " + " | ".join(t.name for t in study.goals) + " |")
            lines.extend(show(study, num_seeds))
    print("\n".join(lines))
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
