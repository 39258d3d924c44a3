"""Which auxiliary tasks help where labels are few? Each beside the same model without it.

    python reproductions/auxiliary.py                     # as reported: five seeds, four tables, three shares
    python reproductions/auxiliary.py --quick             # two seeds, 1 % of the labels of 20,000 rows
    python reproductions/auxiliary.py --data kuairand --labels 0.01

Census-Income (income, never married), KuaiRand-Pure (click, like), the same with lists of what the user
saw before (clicks) and CoLA (is the sentence acceptable?), with 1 %, 10 % and 100 % of the training rows labelled; the others keep their inputs alone. Another
share of the rows every seed. A batch is labelled rows (census and kuairand: 128, 256, 1,024) and, where a
part learns from rows without labels, as many of these. All arms take the same steps on the same labelled
rows, start alike, and are validated on the same rows, up to 10,000 with labels at every share.
Every arm has three candidates and one run on seed 100 for each: the learning rate of the model without
anything, the weight of the part for the others (epochs of what comes first). What validates best then has five
seeds. Gains in AUC on the test rows are paired by seed, with Student's 95 % intervals. Finished trainings
are kept in runs/auxiliary, so that a run that was stopped resumes. Reads the data from
POLYTASK_DATA (else ../shared/data).
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from auxiliary_tables import NOTHING, Arm, Table, table_of
from pictures import Scores
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

NAMES, SHARES = ("census", "kuairand", "cola", "clicks"), (0.01, 0.1, 1.0)
TUNING_SEED, MOST_VALID = 100, 10_000


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
        unknown = torch.full((len(own),), torch.nan)
        labels = {
            name: torch.cat([value, more.labels.get(name, unknown)])
            for name, value in own.labels.items()
        }
        inputs = {name: torch.cat([x, more.inputs[name]]) for name, x in own.inputs.items()}
        return Batch(inputs, labels).part(*part)


@dataclass(slots=True, eq=False)
class Study:
    """One table with one share of its labels; trains what is not yet kept."""

    name: str
    share: float
    table: Table
    prepared: Prepared
    kept: Scores

    @property
    def goals(self) -> list[Task]:
        return [task for task in self.prepared.tasks if not task.auxiliary]

    def scores(self, arm: Arm, value: float, seed: int, rate: float) -> dict[str, float]:
        """AUC by part and goal, such as "test income"."""
        key = f"{self.name} {self.share} {arm.title} {value} {rate} {seed}"
        if key not in self.kept.known:
            started = time.perf_counter()
            self.kept.put(key, self._trained(arm, value, seed, rate))
            print(f"  {key}: {time.perf_counter() - started:.1f} s", flush=True)
        return self.kept.known[key]

    def chosen(self, arm: Arm, rate: float) -> float:
        """The candidate that is best on validation under the tuning seed."""

        def valid(value: float) -> float:
            found = self.scores(arm, value, TUNING_SEED, rate)
            return float(np.mean([found[f"valid {task.name}"] for task in self.goals]))

        return max(arm.candidates, key=valid)

    def _trained(self, arm: Arm, value: float, seed: int, rate: float) -> dict[str, float]:
        labelled, others = self._rows(seed, arm)
        config = self._config(arm, value, seed, value if arm is NOTHING else rate)
        tasks = self.prepared.tasks if arm.is_related else self.goals
        losses = [each for each in self.prepared.auxiliaries if each.name in arm.losses]
        weighed = [replace(each, weight=value) for each in losses]
        plan = self._plan(config, tasks, labelled, () if arm.is_first else weighed)
        run = start_training(plan, self.prepared, OwnParts(), device=torch.device("cpu"))
        if arm.is_first:
            self._start_from_losses(run.model, config, losses, others, round(value))
        stream: Stream = InMemoryStream(labelled, self.table.steps[self.share][1])
        if arm.on_all_rows and self.share < 1 and not arm.is_first:
            stream = WithUnlabelled(stream, others)
        for loss in plan.auxiliaries:
            stream = loss.extend(stream)
        for _ in train(run, stream, valid=plan.valid):
            pass
        return self._metrics(run.model, "valid", plan.valid) | self._metrics(
            run.model, "test", plan.test
        )

    def _rows(self, seed: int, arm: Arm) -> tuple[Batch, Batch]:
        """The rows whose labels are known, and all rows without the goals' labels."""
        rows = self.prepared.train
        chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        names = {task.name for task in self.goals} | ({"related"} if arm.is_related else set())
        known = {name: rows.labels[name] for name in names}
        hidden = {name: value for name, value in known.items() if name == "related"}
        made = {name: rows.labels[name] for name in arm.losses if name in rows.labels}
        known, hidden = known | made, hidden | made
        labelled = Batch(rows.inputs, known)[chosen[: round(self.share * len(rows))]]
        return labelled, Batch(rows.inputs, hidden)

    def _config(self, arm: Arm, value: float, seed: int, rate: float) -> FitConfig:
        epochs, batch_size = self.table.steps[self.share]
        changes: dict[str, object] = {"seed": seed, "epochs": epochs, "batch_size": batch_size}
        changes |= {"learning_rate": rate, "validations_per_epoch": max(1, 10 // epochs)}
        if arm.is_related:
            changes["weight"] = {"related": value}
        return self.prepared.config.model_copy(update=changes)

    def _plan(
        self, config: FitConfig, tasks: Sequence[Task], rows: Batch, losses: Sequence[Auxiliary]
    ) -> ModelPlan:
        valid, test = self.prepared.valid, self.prepared.test
        assert valid is not None
        valid = valid[:MOST_VALID]
        goals = tuple(tasks)
        return ModelPlan(
            self.name, "baseline", config, goals, rows, valid, test, auxiliaries=tuple(losses)
        )

    def _start_from_losses(
        self,
        model: MultiTaskModel,
        config: FitConfig,
        losses: Sequence[Auxiliary],
        rows: Batch,
        epochs: int,
    ) -> None:
        """The losses alone on all rows, in batches of 100 %; the model then has these weights."""
        own = config.model_copy(update={"epochs": epochs, "batch_size": self.table.steps[1.0][1]})
        balanced = [replace(each, weight="balanced") for each in losses]
        first = self._plan(own, self.goals, Batch(rows.inputs), balanced)
        run = start_training(first, self.prepared, OwnParts(), device=torch.device("cpu"))
        for _ in train(run, first.stream()):
            pass
        warm_start(model, self.prepared.inputs, run.model, self.prepared.inputs)

    def _metrics(self, model: MultiTaskModel, part: str, rows: Batch | None) -> dict[str, float]:
        assert rows is not None
        predictions = predict(model, rows).values
        return {
            f"{part} {task.name}": TaskRows.of(task, predictions[task.name], rows).metric("auc")
            for task in self.goals
        }


def show(study: Study, num_seeds: int) -> Iterator[str]:
    """Rows of the table: the model without anything, then the gain of each part."""
    rate = study.chosen(NOTHING, 0.0)
    plain = [study.scores(NOTHING, rate, seed, 0.0) for seed in range(num_seeds)]
    names = [f"test {task.name}" for task in study.goals]
    yield f"| {study.name} | labels | {' | '.join(task.name for task in study.goals)} |"
    base = " | ".join(f"{np.mean([each[n] for each in plain]):.4f}" for n in names)
    yield f"| {NOTHING.title} ({rate:g}) | {study.share:.0%} | {base} |"
    for arm in study.table.arms[1:]:
        value = study.chosen(arm, rate)
        found = [study.scores(arm, value, seed, rate) for seed in range(num_seeds)]
        cells = [in_words(np.array([a[n] - b[n] for a, b in zip(found, plain)])) for n in names]
        yield f"| {arm.title} ({value:g}) | {study.share:.0%} | {' | '.join(cells)} |"


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
    parser.add_argument("--data", choices=NAMES, action="append")
    parser.add_argument("--labels", type=float, choices=SHARES, action="append")
    parser.add_argument("--seeds", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    num_seeds = given.seeds or (2 if given.quick else 5)
    Path("runs").mkdir(exist_ok=True)
    kept = Scores(Path(f"runs/auxiliary{'-quick' if given.quick else ''}.jsonl"))
    started, lines = time.perf_counter(), []
    for name in given.data or NAMES[: 1 if given.quick else None]:
        table = table_of(name)
        given_parts = table.parts
        parts = None
        if given_parts and given_parts.valid is not None:
            parts = {"valid": given_parts.valid, "test": given_parts.test}
        train_table = given_parts.train if given_parts else None
        prepared = prepare(validate_config(table.options), train_table, parts=parts)
        if given.quick:
            prepared = replace(prepared, train=prepared.train[:20_000])
        for share in given.labels or SHARES[: 1 if given.quick else None]:
            lines.extend(show(Study(name, share, table, prepared, kept), num_seeds))
    print(*lines, f"{time.perf_counter() - started:.0f} s", sep="\n")


if __name__ == "__main__":
    main()
