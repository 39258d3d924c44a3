"""Trainings of sets of tasks under several seeds, each of which is kept once it has ended."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.config import FitConfig
from polytask.config.spellings import Options
from polytask.files.plain import require_plain
from polytask.files.reading import read_text
from polytask.files.writing import make_folder, write_text
from polytask.fitting.building import start_training, try_out
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.plan import ModelPlan
from polytask.fitting.planning import joint
from polytask.fitting.preparing.prepare import Prepared
from polytask.model import MultiTaskModel
from polytask.records.codec import from_json, to_json
from polytask.records.transfer import Matrix, TrainingRecord
from polytask.records.transfer_files import TRAININGS
from polytask.streams import Batch
from polytask.training.evaluation import PREDICTION_BATCH
from polytask.training.labelled import predict_labelled
from polytask.training.loop import train
from polytask.training.run import TrainingRun
from polytask.training.scoring import Array, TaskRows
from polytask.training.tensor_files import read_tensors, write_tensors
from polytask.transfer.affinity import AffinityMeter, trained_with_affinity
from polytask.transfer.similarity import second_moment
from polytask.trunks import Aligned

PARTS = ("valid", "test")
_MOMENT_ROWS = 20_000
_MOST_FEATURES = 2048
"""A second moment of more features than this is not kept."""
_MOMENT = "moment"
_MOST_TASKS_WITH_MOMENTS = 2


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """One training: of the tasks at these positions, under one seed, with some options changed.

    `variant` names the change, and so stands for it where specs are compared; `trunk`, `balancer` and `align` are the options in the place of the config's.
    """

    positions: tuple[int, ...]
    seed: int
    variant: str = ""
    trunk: Options | None = field(default=None, compare=False)
    balancer: Options | None = field(default=None, compare=False)
    align: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a training left: its record, and predictions by part and task.

    `moments` are the second moments of what the trunk reads, on each task's labelled rows: the
    encoder's output, or x R_t where it is aligned. They are there of one task or two.
    """

    record: TrainingRecord
    predictions: Mapping[str, Mapping[str, Array]]
    moments: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Trainings:
    """Trains what is asked for and not yet there; with a folder, what has ended outlives the process."""

    prepared: Prepared
    device: torch.device
    folder: Path | None = None
    first_seed: int = 0
    outcomes: dict[TrainingSpec, Outcome] = field(default_factory=dict)
    num_trained: int = 0

    @property
    def config(self) -> FitConfig:
        return self.prepared.config

    @property
    def train(self) -> Batch:
        return self.prepared.train

    @property
    def names(self) -> list[str]:
        return [task.name for task in self.prepared.tasks]

    def check(self, specs: Sequence[TrainingSpec]) -> None:
        """UserError for options that fit no model, before the first one is trained."""
        try_out([self._plan(spec) for spec in specs], self.prepared.inputs, OwnParts(), self.device)

    def is_done(self, spec: TrainingSpec) -> bool:
        """Whether the training has ended, in this process or in an earlier one."""
        return spec in self.outcomes or self._load(spec)

    def outcome(self, spec: TrainingSpec) -> Outcome:
        """The training's outcome; it is trained if it has not ended yet."""
        if not self.is_done(spec):
            outcome = self._trained(spec)
            self._keep(spec, outcome)
            self.outcomes[spec] = outcome
            self.num_trained += 1
        return self.outcomes[spec]

    def rows(self, outcome: Outcome, position: int, part: str) -> TaskRows:
        """What a task is scored on."""
        task = self.prepared.tasks[position]
        batch = self.prepared.valid if part == "valid" else self.prepared.test
        assert batch is not None
        return TaskRows.of(task, outcome.predictions[part][task.name], batch)

    def _plan(self, spec: TrainingSpec) -> ModelPlan:
        plan = joint(self.config, self.prepared, spec.positions)
        changes: dict[str, object] = {"seed": self.first_seed + spec.seed}
        if spec.trunk is not None:
            # The flat options are those of the trunk that it takes the place of.
            changes |= {"trunk": spec.trunk, "hidden": None, "num_experts": None}
            changes["expert_hidden"] = None
        if spec.balancer is not None and len(plan.tasks) > 1:
            changes["balancer"] = spec.balancer
        if spec.align:
            changes["align"] = True
        return replace(plan, config=plan.config.model_copy(update=changes))

    def _trained(self, spec: TrainingSpec) -> Outcome:
        plan = self._plan(spec)
        run = start_training(plan, self.prepared, OwnParts(), device=self.device)
        meter, stream = AffinityMeter(), plan.stream()
        if len(spec.positions) == len(self.prepared.tasks) and not spec.variant:
            every = _sampled_every(stream.num_batches(0) * run.settings.epochs)
            steps = trained_with_affinity(run, stream, meter, valid=plan.valid, every=every)
        else:
            steps = train(run, stream, valid=plan.valid)
        for _ in steps:
            pass
        predictions = {
            part: dict(predict_labelled(run.model, batch, precision=plan.config.precision).values)
            for part, batch in (("valid", plan.valid), ("test", plan.test))
            if batch is not None
        }
        record = self._record(spec, run, meter)
        outcome = Outcome(record, predictions, _moments(run.model, plan))
        scores = {
            name: self.rows(outcome, position, "valid").metric(task.kind.main_metric)
            for position, task in zip(spec.positions, plan.tasks)
            for name in (task.name,)
        }
        return replace(outcome, record=replace(record, valid=scores))

    def _record(self, spec: TrainingSpec, run: TrainingRun, meter: AffinityMeter) -> TrainingRecord:
        seen = bool(meter.lookaheads)
        return TrainingRecord(
            tasks=tuple(self.names[position] for position in spec.positions),
            seed=spec.seed,
            variant=spec.variant,
            valid={},
            steps=run.progress.step,
            seconds=run.progress.train_seconds,
            affinity=matrix(meter.affinity_TT.numpy()) if seen else (),
            cosines=matrix(meter.cosine_TT.numpy()) if seen else (),
            conflicts=matrix(meter.conflict_TT.numpy()) if seen else (),
        )

    def _paths(self, spec: TrainingSpec) -> tuple[Path, Path] | None:
        """A name that is the training's own, whatever the tasks are called."""
        if self.folder is None:
            return None
        text = repr(([self.names[p] for p in spec.positions], spec.seed, spec.variant))
        name = hashlib.sha256(text.encode()).hexdigest()[:12]
        return tuple(self.folder / TRAININGS / f"{name}{end}" for end in (".json", ".safetensors"))  # type: ignore[return-value]

    def _keep(self, spec: TrainingSpec, outcome: Outcome) -> None:
        """The record goes last: a training whose record is there is there as a whole."""
        paths = self._paths(spec)
        if paths is None:
            return
        make_folder(paths[0].parent)
        tensors = {
            f"{part}/{self.names.index(name)}": torch.from_numpy(np.ascontiguousarray(values))
            for part, by_task in outcome.predictions.items()
            for name, values in by_task.items()
        }
        tensors |= {
            f"{_MOMENT}/{self.names.index(name)}": moment_DD
            for name, moment_DD in outcome.moments.items()
        }
        write_tensors(paths[1], tensors)
        write_text(paths[0], to_json(outcome.record, indent=1))

    def _load(self, spec: TrainingSpec) -> bool:
        paths = self._paths(spec)
        if paths is None or not all(require_plain(path) for path in paths):
            return False
        record = from_json(read_text(paths[0]), TrainingRecord, where=str(paths[0]))
        tensors = read_tensors(paths[1])
        found: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, _, place = name.partition("/")
            found.setdefault(part, {})[self.names[int(place)]] = tensor
        moments = found.pop(_MOMENT, {})
        predictions = {p: {n: t.numpy() for n, t in each.items()} for p, each in found.items()}
        self.outcomes[spec] = Outcome(record, predictions, moments)
        return True


def matrix(values_TT: NDArray[np.float64]) -> Matrix:
    """As a record has it: None where there is no number."""
    return tuple(
        tuple(float(value) if np.isfinite(value) else None for value in row) for row in values_TT
    )


def _sampled_every(num_steps: int) -> int:
    """Every tenth step; of a short training as often as gives ten lookaheads."""
    return max(1, min(10, num_steps // 10))


def _moments(model: MultiTaskModel, plan: ModelPlan) -> dict[str, Tensor]:
    """X^T X of what the trunk reads, on some 20,000 labelled training rows of each of few tasks."""
    if len(plan.tasks) > _MOST_TASKS_WITH_MOMENTS:
        return {}
    found = {}
    for place, task in enumerate(plan.tasks):
        rows_B = task.kind.is_labelled(plan.train.labels[task.name]).nonzero()[:, 0]
        x_BD = torch.cat(list(_encoded(model, plan.train, rows_B[:_MOMENT_ROWS], place)))
        if x_BD.shape[1] <= _MOST_FEATURES:
            found[task.name] = second_moment(x_BD)
    return found


@torch.inference_mode()
def _encoded(model: MultiTaskModel, batch: Batch, rows_B: Tensor, place: int) -> Iterator[Tensor]:
    """x, or x R_t of the task in this place, piece by piece."""
    device = next(model.parameters()).device
    model.eval()
    for start in range(0, len(rows_B), PREDICTION_BATCH):
        piece_B = rows_B[start : start + PREDICTION_BATCH]
        x_BD = model.encoder(batch[piece_B].to(device).inputs)
        if isinstance(model.trunk, Aligned):
            x_BD = model.trunk.alignments[place](x_BD)
        yield x_BD.cpu()
