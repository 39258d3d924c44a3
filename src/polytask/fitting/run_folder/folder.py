"""The folder of a run: what lies in it, and when it may be written."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from polytask.config import FitConfig, read_config, write_config
from polytask.data.labels import LabelEncoder
from polytask.errors import UserError, flag
from polytask.inputs import FittedInputs
from polytask.records.files import FIGURES, METRICS, STEPS
from polytask.training.state_files import apart, remove

FILES = (
    *("run.yaml", "encoder.json", "model.safetensors", STEPS, METRICS),
    *(FIGURES, "report.html"),
)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """run.yaml, JSON, safetensors and report.html (see FILES): no file runs code."""

    path: Path

    @classmethod
    def create(cls, path: Path, *, overwrite: bool) -> "RunFolder":
        """A new folder; an existing one only with `overwrite`, and only if it holds a run."""
        check_free(path, overwrite=overwrite)
        path.mkdir(parents=True, exist_ok=True)
        folder = cls(path)
        folder.remove_checkpoints()
        # run.yaml goes last: until then the folder is known to hold a run.
        for name in reversed(FILES):
            (path / name).unlink(missing_ok=True)
        return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run; UserError where the folder holds none."""
        if not path.is_dir():
            raise UserError(f"{path}: no such run folder")
        missing = [name for name in FILES[:3] if not (path / name).is_file()]
        if missing:
            raise UserError(f"{path}: this is no finished run, it lacks {', '.join(missing)}")
        return cls(path)

    def write_setup(self, config: FitConfig, inputs: FittedInputs, targets: LabelEncoder) -> None:
        _write(self.path / "run.yaml", write_config(config))
        self.write_encoders(inputs, targets)

    def write_encoders(self, inputs: FittedInputs, targets: LabelEncoder) -> None:
        encoder = {"inputs": json.loads(inputs.to_json()), "targets": targets.to_dict()}
        _write(self.path / "encoder.json", json.dumps(encoder, indent=1, allow_nan=False))

    def write_weights(self, model: nn.Module) -> None:
        target = self.path / "model.safetensors"
        part = target.with_suffix(".part")
        save_file(apart(model.state_dict()), part)
        part.replace(target)

    def read_config(self) -> FitConfig:
        return read_config(self.path / "run.yaml")

    def read_encoders(self) -> tuple[FittedInputs, LabelEncoder]:
        path = self.path / "encoder.json"
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            inputs = FittedInputs.from_json(json.dumps(values["inputs"]))
            return inputs, LabelEncoder.from_dict(values["targets"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"{path}: this is no encoder file of polytask: {error}") from error

    def read_weights(self) -> dict[str, torch.Tensor]:
        path = self.path / "model.safetensors"
        try:
            return load_file(path)
        except SafetensorError as error:
            raise UserError(f"{path}: damaged weights: {error}") from error

    @property
    def checkpoints(self) -> Path:
        """One folder a model, by its number; there as long as the run is not finished."""
        return self.path / "checkpoints"

    def is_finished(self) -> bool:
        return (self.path / METRICS).is_file() and not self.checkpoints.exists()

    def remove_checkpoints(self, *, after: int | None = None) -> None:
        """Those of the models after number `after`, or all of them."""
        if after is None:
            # Renamed first, so that a kill in the middle leaves no half of them to go on from.
            going = self.path / "checkpoints.part"
            remove(going)
            if self.checkpoints.exists():
                self.checkpoints.rename(going)
                remove(going)
        elif self.checkpoints.exists():
            for folder in [*self.checkpoints.iterdir()]:
                if folder.name.isdigit() and int(folder.name) > after:
                    remove(folder)

    def log_bytes(self) -> int:
        path = self.path / STEPS
        return path.stat().st_size if path.is_file() else 0

    def cut_log(self, num_bytes: int) -> bool:
        """Forget the lines of steps.jsonl after so many bytes; False if there are not as many."""
        path = self.path / STEPS
        length = self.log_bytes()
        if length > num_bytes:
            os.truncate(path, num_bytes)
        elif length < num_bytes and path.is_file():
            os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
        return length >= num_bytes


def check_free(path: Path, *, overwrite: bool) -> None:
    """UserError unless a run may be written there."""
    if not path.exists():
        return
    if not path.is_dir():
        raise UserError(f"{path}: the output is a folder, but a file of this name exists")
    if not any(path.iterdir()):
        return
    if not overwrite:
        goes_on = RunFolder(path).checkpoints.exists()
        hint = f", or go on with {flag('resume', path)}" if goes_on else ""
        raise UserError(f"{path}: the folder exists; pass --overwrite or name another --out{hint}")
    if not (path / "run.yaml").is_file():
        raise UserError(f"{path}: the folder holds something else than a run; name another --out")


def _write(path: Path, text: str) -> None:
    """Write beside and rename, so that no reader ever sees half a file."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
