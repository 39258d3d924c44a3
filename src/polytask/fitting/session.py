"""A fit under way: plans are trained one after another, and what is computed is kept on disk."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from polytask.balancing import Need, Ranks
from polytask.config import FitConfig
from polytask.errors import UserError
from polytask.files.lock import Lock
from polytask.fitting.bagging import Member, bag_of
from polytask.fitting.budget import advice
from polytask.fitting.building import start_training, try_out
from polytask.fitting.comparing.auxiliary import auxiliary_record
from polytask.fitting.comparing.comparison import (
    Trained,
    TrainedNetwork,
    predicted_parts,
    spooled_test,
    summarize,
)
from polytask.fitting.events import Event, ModelFinished, ModelStarted, Notice
from polytask.fitting.figures.explain import explain_trunk
from polytask.fitting.figures.figures import make_figures
from polytask.fitting.history import step_record, validation_record
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.plan import PRE_TRAINING, ModelPlan, Role, check_order
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.processes.threads import choose_threads, should_measure
from polytask.fitting.processes.torchrun import is_first, raise_on_all
from polytask.fitting.run_folder.folder import RunFolder
from polytask.fitting.run_folder.loading import load
from polytask.fitting.run_folder.run import Run, write_records
from polytask.fitting.run_folder.run_checkpoints import RunCheckpoints
from polytask.fitting.run_folder.run_records import RecordsInMemory
from polytask.fitting.warm_start import warm_start
from polytask.model import MultiTaskModel, first_of
from polytask.products import bf16_is_emulated
from polytask.records import History, HistoryRecord, ValidationRecord, append_history, read_history
from polytask.report import write_report
from polytask.training.evaluation import Predictions
from polytask.training.loop import TrainStep, train
from polytask.training.run import TrainingRun

_WATCHED_ROWS = 1024


@dataclass(slots=True, eq=False)
class Session:
    """The plans of a fit, the models trained so far, and what is kept of them on disk."""

    config: FitConfig
    prepared: Prepared
    plans: list[ModelPlan]
    device: torch.device
    own: OwnParts
    ranks: Ranks | None
    checkpoints: RunCheckpoints | None = None
    history: History = field(default_factory=History)
    models: dict[str, MultiTaskModel] = field(default_factory=dict)
    trained: dict[str, Trained] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    has_warned: bool = False
    unscored: set[str] = field(default_factory=set)
    lock: Lock | None = None
    pretraining_seconds: float | None = None

    @property
    def folder(self) -> RunFolder | None:
        return None if self.checkpoints is None else self.checkpoints.folder

    def check(self) -> None:
        """Raise UserError for options that fit no model, before the first one is trained."""
        check_order(self.plans)
        try_out(self.plans, self.prepared.inputs, self.own, self.device)

    def resume(self, interrupted: RunFolder) -> None:
        """Go on in the folder of an interrupted run."""
        if is_first(self.ranks):
            self.checkpoints = RunCheckpoints.resume(
                interrupted, self.prepared, config=self.config, own=self.own
            )

    def check_precision(self) -> Iterator[Notice]:
        """Say that a processor without units for bfloat16 gains nothing from it."""
        asked = self.config.precision == "bf16" and self.device.type == "cpu"
        if asked and bf16_is_emulated():
            yield Notice(
                "warning: --precision=bf16 makes training slower here, for this processor has no units for bfloat16 "
                "and emulates it: leave it out"
            )

    def choose_threads(self) -> Iterator[Notice]:
        """Set the number of threads that is fastest now, and keep it for the run's whole life."""
        if not should_measure(self.config, self.device, self.ranks) or self.checkpoints is not None:
            return
        main = next(plan for plan in self.plans if plan.role == "main")
        try:
            choice = choose_threads(main, self.prepared, self.own, self.device)
        except UserError:
            # The run's own steps will say it, with its folder to keep what was saved.
            return
        torch.set_num_threads(choice.threads)
        self.config = self.config.model_copy(update={"threads": choice.threads})
        yield Notice(choice.in_words)

    def run(self, plan: ModelPlan) -> Iterator[Event]:
        """Train one model, or what is left of it: started, its steps, finished."""
        run = start_training(plan, self.prepared, self.own, device=self.device, ranks=self.ranks)
        number = self.plans.index(plan)
        yield from raise_on_all(
            self.ranks, lambda: self._begin(plan, run, number) if is_first(self.ranks) else []
        )
        if plan.role == "main" and run.model.num_folded and run.balancer.needs is Need.LOSSES:
            yield Notice(
                f"the first layer reads {run.model.num_folded} columns by tables of their values' products "
                "(--no-fold: by products of rows)"
            )
        stream = plan.stream()
        yield ModelStarted(plan.name, run, stream.num_batches(0) * run.settings.epochs)
        for step in train(run, stream, valid=plan.valid):
            if is_first(self.ranks):
                self._log(plan.name, run, step)
            if self.checkpoints is not None:
                is_alone = plan.role == "main" and not plan.bag
                self.checkpoints.after_step(run, step, number, is_main=is_alone)
            yield step
            yield from self._warn_of_collapse(run, step, plan)
            yield from self._warn_of_no_score(step, plan)
        self._keep(plan, run, number)
        yield ModelFinished(plan.name, run)
        if plan.role == "main" and is_first(self.ranks):
            yield from map(Notice, self._advice(plan))

    def _keep(self, plan: ModelPlan, run: TrainingRun, number: int) -> None:
        """A trained model, its weights on disk before it is judged."""
        judged, training = plan, TrainedNetwork.of(run)
        predictions: dict[str, Predictions] = {}
        if plan.bag:
            judged, training, predictions = bag_of(plan, run, self.members, self.ranks)
        if self.checkpoints is not None:
            predictor = training.network if plan.role == "main" else None
            self.checkpoints.after_training(run, number, predictor=predictor)
        if plan.role == "member":
            self.members[plan.name] = Member.of(plan, run)
        elif plan.role != "stage" and not plan.bag:
            predictions = predicted_parts(plan, run.model, self.ranks)
        is_judged = plan.role not in ("stage", "member")
        spool = spooled_test(plan, training.network, self.ranks) if is_judged else None
        if not is_first(self.ranks):
            return
        self.models[plan.name] = run.model
        if is_judged:
            self.trained[plan.name] = Trained.of(
                judged, training, self.prepared, predictions, spool
            )
        elif plan.name == PRE_TRAINING:
            self.pretraining_seconds = run.progress.train_seconds

    def _advice(self, plan: ModelPlan) -> list[str]:
        scores = [
            record.score
            for record in self.history
            if isinstance(record, ValidationRecord)
            and record.model == plan.name
            and record.score is not None
        ]
        return advice(plan.config, plan.num_train, scores)

    def finish(self) -> Run:
        """Metrics and figures of all models, written with a report where the run has a folder."""
        main = next(self.trained[plan.name] for plan in self.plans if plan.role == "main")
        baselines = self._of_role("baseline")
        processes = 1 if self.ranks is None else self.ranks.world
        targets = replace(self.prepared.targets, tasks=main.model.tasks)
        plan = next(plan for plan in self.plans if plan.role == "main")
        record = summarize(self.config, self.prepared, [main, *baselines], processes=processes)
        auxiliary = auxiliary_record(
            self.prepared,
            self.history,
            with_them=[main, *self._of_role("with")],
            without=self._of_role("without"),
            pretraining_seconds=self.pretraining_seconds,
        )
        records = RecordsInMemory(
            replace(record, advice=tuple(self._advice(plan)), auxiliary=auxiliary),
            make_figures(self.prepared, main.model, main.rows),
            self.history,
        )
        run = Run(self.config, self.prepared.inputs, targets, main.model, records)
        if self.folder:
            write_records(self.folder.path, records)
            write_report(self.folder.path)
            # The last act: as long as there are checkpoints, the run is not finished.
            self.folder.remove_checkpoints()
        return run

    def _of_role(self, role: Role) -> list[Trained]:
        return [self.trained[plan.name] for plan in self.plans if plan.role == role]

    def close(self) -> None:
        """Let other processes write the folder."""
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    def _begin(self, plan: ModelPlan, run: TrainingRun, number: int) -> list[Notice]:
        """Bring a fresh model to where it starts; before the first one of a new run make the folder."""
        notices = self._restore(plan, run, number)
        if number == 0 and self.checkpoints is None and self.config.out is not None:
            folder, self.lock = RunFolder.create(self.config.out, overwrite=self.config.overwrite)
            self.checkpoints = RunCheckpoints.start(
                folder, self.prepared, config=self.config, own=self.own
            )
        return notices

    def _restore(self, plan: ModelPlan, run: TrainingRun, number: int) -> list[Notice]:
        """Bring a fresh model to its newest checkpoint, or to the weights that its plan starts from."""
        notices = []
        if self.checkpoints is not None and self.checkpoints.is_resuming:
            restored = self.checkpoints.restore(run, number)
            self.history = read_history(self.checkpoints.folder.path)
            notices = [Notice(text) for text in restored.notices]
            if restored.log_bytes is not None:
                return notices
        if plan.start is not None:
            self._warm_start(plan.start.source, run.model)
        return notices

    def _warm_start(self, source: Path | str, model: MultiTaskModel) -> None:
        inputs = self.prepared.inputs
        if isinstance(source, str):
            warm_start(model, inputs, self.models[source], inputs)
            return
        earlier = load(source)
        warm_start(model, inputs, first_of(earlier.model), earlier.inputs)

    def _warn_of_collapse(
        self, run: TrainingRun, step: TrainStep, plan: ModelPlan
    ) -> Iterator[Notice]:
        """Once, at the first validation after which experts of the main model are of no use."""
        if step.validation is None or plan.valid is None or plan.role != "main":
            return
        if self.has_warned or not is_first(self.ranks):
            return
        collapse = explain_trunk(run.model, plan.valid, most_rows=_WATCHED_ROWS).collapse
        if collapse is not None:
            self.has_warned = True
            yield Notice(f"step {step.step:,}: {collapse}")

    def _warn_of_no_score(self, step: TrainStep, plan: ModelPlan) -> Iterator[Notice]:
        """Once a model, where the validation rows define nothing to stop early by."""
        validation = step.validation
        if validation is None or plan.name in self.unscored or not math.isnan(validation.score):
            return
        self.unscored.add(plan.name)
        names = [f"{task} {name}" for task, values in validation.metrics.items() for name in values]
        yield Notice(
            f"{plan.name}: no metric is defined on the validation rows ({', '.join(names)}): training "
            "does not stop early, and the last weights are kept"
        )

    def _log(self, name: str, run: TrainingRun, step: TrainStep) -> None:
        records: list[HistoryRecord] = []
        # The first step is always there: the report measures all losses by it.
        if step.step == 1 or step.step % self.config.log_every == 0:
            records.append(step_record(name, run, step))
        if step.validation is not None:
            records.append(validation_record(name, run, step.validation))
        for record in records:
            self.history.append(record)
            if self.folder:
                append_history(self.folder.path, record)
