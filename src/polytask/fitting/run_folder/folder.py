"""The folder of a run: what lies in it, and when it may be written."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from polytask.config import FitConfig, read_config, write_config
from polytask.data.labels import LabelEncoder
from polytask.errors import UserError, flag
from polytask.files.lock import LOCK, Lock, require_unlocked
from polytask.files.plain import is_part, require_plain
from polytask.files.reading import parse_json, read_text
from polytask.files.writing import CannotWriteError, act_on, cut, make_folder, write_text
from polytask.fitting.run_folder.fingerprint import notes_for_weights
from polytask.inputs import FittedInputs
from polytask.records.layout import (
    CHECKPOINTS,
    ENCODER,
    FILES,
    GRAPH,
    METRICS,
    OPTIONS,
    STEPS,
    WEIGHTS,
    check_folder,
    model_number,
    remove_files,
    remove_model,
    remove_parts,
    retire_checkpoints,
)
from polytask.training.tensor_files import (
    differences,
    layouts_of,
    read_layouts,
    read_tensors,
    write_tensors,
)

_OF_TRAINING = re.compile(r"(networks\.\d+\.)?objectives\.")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """run.yaml, JSON, safetensors and report.html (see `records.layout`): no file runs code."""

    path: Path

    @classmethod
    def create(cls, path: Path, *, overwrite: bool) -> tuple["RunFolder", Lock]:
        """A new folder; an existing one only with `overwrite`, and only if it holds a run.

        The lock is the caller's, to be released when the run is written.
        """
        check_free(path, overwrite=overwrite)
        make_folder(path)
        lock = Lock.take(path)
        try:
            # Another process may have been faster.
            _require_free(path, overwrite=overwrite)
            retire_checkpoints(path)
            remove_parts(path)
            remove_files(path)
        except BaseException:
            lock.release()
            raise
        return cls(path), lock

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run; UserError where the folder holds none, or a link in the place of a file."""
        check_folder(path)
        needed = (OPTIONS, ENCODER, WEIGHTS)
        missing = [name for name in needed if not (path / name).is_file()]
        if missing:
            raise UserError(f"{path}: this is no finished run, it lacks {', '.join(missing)}")
        return cls(path)

    def write_config(self, config: FitConfig) -> None:
        write_text(self.path / OPTIONS, write_config(config))

    def write_encoders(self, text: str) -> None:
        """The text is of `encoder_text`."""
        write_text(self.path / ENCODER, text)

    def write_weights(self, model: nn.Module, config: FitConfig, text: str) -> None:
        """With checksums of the options and of the text of the encoders that they belong to.

        Extra losses are there for the training alone. A graph of other weights is removed.
        """
        if require_plain(self.path / GRAPH):
            act_on(self.path / GRAPH, (self.path / GRAPH).unlink)
        notes = notes_for_weights(config, text)
        state = {k: v for k, v in model.state_dict().items() if not _OF_TRAINING.match(k)}
        write_tensors(self.path / WEIGHTS, state, notes)

    def require_there(self) -> None:
        """CannotWriteError where somebody has removed the folder: it would be made anew without options."""
        if not (self.path / OPTIONS).is_file():
            raise CannotWriteError(f"{self.path}: the folder of the run is gone, or was emptied")

    def read_config(self) -> FitConfig:
        return read_config(self.path / OPTIONS)

    def read_encoders(self) -> tuple[FittedInputs, LabelEncoder]:
        path = self.path / ENCODER
        values = parse_json(read_text(path), where=str(path))
        if not isinstance(values, dict) or not {"inputs", "targets"} <= values.keys():
            raise UserError(f"{path}: this is no encoder file of polytask")
        try:
            inputs = FittedInputs.from_record(values["inputs"])
            return inputs, LabelEncoder.from_dict(values["targets"])
        except UserError as error:
            raise UserError(f"{path}: {error.message}") from error

    def has_encoders(self) -> bool:
        return require_plain(self.path / ENCODER)

    def check_weights(self, sketch: nn.Module, config: FitConfig) -> None:
        """UserError unless the weights are those of such a model, and of the two files beside them.

        Only the beginning of the file is read; the sketch needs no memory, on the meta device.
        """
        path = self.path / WEIGHTS
        layouts, notes = read_layouts(path)
        others = differences(layouts, layouts_of(sketch.state_dict()))
        if others:
            more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
            raise UserError(
                f"{path}: the weights do not fit the model of run.yaml ({others[0]}{more}); a run "
                "with an encoder or a trunk of your own is loaded with load(path, encoder=..., "
                "trunk=...)"
            )
        due = notes_for_weights(config, read_text(self.path / ENCODER))
        for name, checksum in due.items():
            if notes.get(name) != checksum:
                raise UserError(
                    f"{self.path / name}: this is not the file that the weights were written with: "
                    "one of the two was changed, or is another run's. Put it back; a run that was "
                    f"interrupted is mended by {flag('resume', self.path)}"
                )

    def read_weights(self) -> dict[str, Tensor]:
        return read_tensors(self.path / WEIGHTS)

    @property
    def checkpoints(self) -> Path:
        """One folder a model, by its number; there as long as the run is not finished."""
        return self.path / CHECKPOINTS

    def is_finished(self) -> bool:
        return (self.path / METRICS).is_file() and not self.checkpoints.exists()

    def remove_checkpoints(self, *, after: int | None = None) -> None:
        """Those of the models after number `after`, or all of them."""
        if after is None:
            retire_checkpoints(self.path)
            return
        for folder in sorted(self.checkpoints.iterdir()) if self.checkpoints.exists() else []:
            number = model_number(folder)
            if number is not None and number > after:
                remove_model(folder)

    def log_bytes(self) -> int:
        path = self.path / STEPS
        return path.stat().st_size if path.is_file() else 0

    def cut_log(self, num_bytes: int) -> bool:
        """Forget the lines of steps.jsonl after so many bytes; False if there are not as many."""
        path = self.path / STEPS
        length = self.log_bytes()
        if length > num_bytes:
            cut(path, num_bytes)
        elif length < num_bytes and path.is_file():
            cut(path, path.read_bytes().rfind(b"\n") + 1)
        return length >= num_bytes


def check_free(path: Path, *, overwrite: bool) -> None:
    """UserError unless a run may be written there, now and by this process."""
    if "\0" in str(path):
        raise UserError(f"{str(path)!r} is no path: it holds a NUL character")
    if path.is_dir():
        require_unlocked(path)
    _require_free(path, overwrite=overwrite)


def _require_free(path: Path, *, overwrite: bool) -> None:
    if not path.exists():
        if path.is_symlink():
            raise UserError(f"{path}: this is a link that leads nowhere; name another --out")
        return
    if not path.is_dir():
        raise UserError(f"{path}: the output is a folder, but a file of this name exists")
    if all(entry.name == LOCK or is_part(entry.name, FILES) for entry in path.iterdir()):
        return
    if not overwrite:
        goes_on = RunFolder(path).checkpoints.exists()
        hint = f", or go on with {flag('resume', path)}" if goes_on else ""
        raise UserError(f"{path}: the folder exists; pass --overwrite or name another --out{hint}")
    if not require_plain(path / OPTIONS):
        raise UserError(f"{path}: the folder holds something else than a run; name another --out")
    check_folder(path)


def inputs_text(inputs: FittedInputs) -> str:
    """The larger part of encoder.json, which stays the same while a run is trained."""
    return json.dumps(json.loads(inputs.to_json()), indent=1, allow_nan=False)


def encoder_text(of_inputs: str, targets: LabelEncoder) -> str:
    """All of encoder.json; what kinds settle after training, such as smearing, is in the targets."""
    of_targets = json.dumps(targets.to_dict(), indent=1, allow_nan=False)
    return f'{{"inputs": {of_inputs},\n"targets": {of_targets}}}'
