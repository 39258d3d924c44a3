"""What of a fit is on disk before it ends, and how an interrupted fit finds its place again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from polytask.config import FitConfig
from polytask.data.labels import LabelEncoder
from polytask.errors import UserError
from polytask.files.writing import make_folder
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.run_folder.fingerprint import fingerprint_of
from polytask.fitting.run_folder.folder import RunFolder, encoder_text, inputs_text
from polytask.model import Network
from polytask.training.checkpoint import Checkpoints, Restored
from polytask.training.loop import TrainStep
from polytask.training.run import TrainingRun
from polytask.training.state_files import DamagedStateError, State, read_state, write_state


@dataclass(slots=True, eq=False)
class RunCheckpoints:
    """A run's folder while it is trained. Models have numbers in the order of their training.

    While `is_resuming`, models are brought to their newest checkpoints; the first one that is not
    finished ends that, and everything after it is new.
    """

    folder: RunFolder
    prepared: Prepared
    config: FitConfig
    every: int
    origin: Mapping[str, str]
    is_resuming: bool = False
    log_bytes: int = 0
    inputs_text: str = ""
    written: str = ""

    @classmethod
    def start(
        cls, folder: RunFolder, prepared: Prepared, *, config: FitConfig, own: OwnParts
    ) -> "RunCheckpoints":
        """A new run: its setup is written, and the fresh weights of modules of the user's own."""
        folder.write_config(config)
        make_folder(folder.checkpoints)
        for name, module in own.modules().items():
            write_state(folder.checkpoints / name, State(module.state_dict(), {}))
        origin = fingerprint_of(config, prepared)
        started = cls(folder, prepared, config, config.checkpoint_every, origin)
        started._write_encoders(prepared.targets)
        return started

    @classmethod
    def resume(
        cls, folder: RunFolder, prepared: Prepared, *, config: FitConfig, own: OwnParts
    ) -> "RunCheckpoints":
        """An interrupted run. The user's own modules get the weights back that they began with."""
        for name, module in own.modules().items():
            if (folder.checkpoints / name).exists():
                _reset(module, folder.checkpoints / name)
        origin = fingerprint_of(config, prepared)
        return cls(folder, prepared, config, config.checkpoint_every, origin, is_resuming=True)

    def restore(self, run: TrainingRun, number: int) -> Restored:
        """Bring a fresh model to where its newest checkpoint is; nothing to do in a new run."""
        if not self.is_resuming:
            return Restored(None, False, ())
        restored = self._checkpoints(number).restore(run)
        if restored.log_bytes is not None:
            self.log_bytes = restored.log_bytes
        if restored.is_finished:
            return restored
        return replace(restored, notices=(*restored.notices, *self._go_on(after=number)))

    def after_step(self, run: TrainingRun, step: TrainStep, number: int, *, is_main: bool) -> None:
        """The weights of the main model where they are the best so far; a checkpoint."""
        if is_main and step.validation is not None and step.validation.is_best:
            self._write_model(run.model)
        checkpoints = self._checkpoints(number)
        if checkpoints.is_due(run, step):
            self._save(run, number)

    def after_training(
        self, run: TrainingRun, number: int, *, predictor: Network | None = None
    ) -> None:
        """The final state: it is not trained again; the weights of what predicts, of the main model."""
        if predictor is not None:
            self._write_model(predictor)
        if not self.is_resuming:
            self._save(run, number, is_finished=True)

    def _save(self, run: TrainingRun, number: int, *, is_finished: bool = False) -> None:
        self.folder.require_there()
        log_bytes = self.folder.log_bytes()
        self._checkpoints(number).save(run, log_bytes=log_bytes, is_finished=is_finished)

    def _write_model(self, network: Network) -> None:
        """The weights, and before them encoder.json where it has changed: the two belong together."""
        self._write_encoders(replace(self.prepared.targets, tasks=network.tasks))
        self.folder.write_weights(network, self.config, self.written)

    def _write_encoders(self, targets: LabelEncoder) -> None:
        # Of a million categories the text takes seconds, and is the same each time.
        self.inputs_text = self.inputs_text or inputs_text(self.prepared.inputs)
        text = encoder_text(self.inputs_text, targets)
        if text != self.written:
            self.folder.write_encoders(text)
            self.written = text

    def _checkpoints(self, number: int) -> Checkpoints:
        return Checkpoints(self.folder.checkpoints / str(number), self.every, self.origin)

    def _go_on(self, *, after: int) -> list[str]:
        """The log and the folders of later models become what they were at the checkpoint."""
        self.is_resuming = False
        if not self.folder.has_encoders():
            self._write_encoders(self.prepared.targets)
        self.folder.remove_checkpoints(after=after)
        if self.folder.cut_log(self.log_bytes):
            return []
        return [f"{self.folder.path}: steps.jsonl has lost lines; the models are not affected"]


def _reset(module: nn.Module, path: Path) -> None:
    try:
        module.load_state_dict(dict(read_state(path).tensors))
    except (DamagedStateError, RuntimeError) as error:
        raise UserError(f"{path}: the weights that it began with: {error}") from error
