"""The folder of a study: what was asked for, the trials' data base, two files a final training, the answer."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from polytask.config.study import Places, StudyConfig, read_study, write_study
from polytask.errors import UserError, flag
from polytask.files.lock import LOCK, Lock
from polytask.files.plain import require_plain
from polytask.files.reading import read_text
from polytask.files.writing import act_on, make_folder, write_text
from polytask.records.codec import from_json, to_json
from polytask.records.layout import REPORT
from polytask.records.study import FinalRecord, StudyRecord
from polytask.records.study_files import RECORD, STUDY, TRAININGS, TRIALS
from polytask.records.transfer import StudyOrigin
from polytask.records.transfer_files import ORIGIN
from polytask.training.scoring import Array
from polytask.training.tensor_files import read_tensors

_TRAINING = re.compile(r"[0-9a-f]{12}\.(json|safetensors)")
_WINNER = re.compile(r"winner(-\d+)?\.yaml")


@dataclass(slots=True, eq=False)
class StudyFolder:
    """A folder whose report this process alone writes, until `release`; one that joins has no lock."""

    path: Path
    lock: Lock | None

    @classmethod
    def create(cls, config: StudyConfig) -> "StudyFolder":
        """A new folder; UserError where something lies there already."""
        path = free_path(config)
        make_folder(path)
        lock = Lock.take(path)
        _clear(path)
        write_text(path / STUDY, write_study(config))
        return cls(path, lock)

    @classmethod
    def open(cls, path: Path, *, joins: bool = False) -> tuple["StudyFolder", StudyConfig, Places]:
        """The folder of a study that was stopped, or that has ended, with what was asked for."""
        if not require_plain(path / STUDY):
            raise UserError(f"{path}: there is no study to go on with, it lacks {STUDY}")
        config, places = read_study(path / STUDY)
        if config.fit.table is None and not config.fit.data:
            raise UserError(
                f"{path}: the table of this study was handed over in memory and is in no file; go on from "
                "Python"
            )
        config = config.model_copy(update={"out": path})
        return cls(path, None if joins else Lock.take(path)), config, places

    @property
    def storage(self) -> str:
        """The URL of the trials' own file."""
        return f"sqlite:///{(self.path / TRIALS).resolve()}"

    def require_same(self, origin: Mapping[str, str]) -> str:
        """The checksum of it all; UserError where the data or the options are no longer those of the start."""
        path = self.path / ORIGIN
        if not require_plain(path):
            write_text(path, to_json(StudyOrigin(origin), indent=1))
        before = from_json(read_text(path), StudyOrigin, where=str(path)).parts
        changed = sorted(
            name for name in {*before, *origin} if before.get(name) != origin.get(name)
        )
        if changed:
            raise UserError(
                f"{self.path}: this is no longer what was started here ({', '.join(changed[:5])} "
                "changed): name another --out"
            )
        return hashlib.sha256(repr(sorted(origin.items())).encode()).hexdigest()[:16]

    def paths(self, configuration: str, seed: int) -> tuple[Path, Path]:
        """The record and the predictions of a final training, whatever it is called."""
        name = hashlib.sha256(repr((configuration, seed)).encode()).hexdigest()[:12]
        folder = self.path / TRAININGS
        return folder / f"{name}.json", folder / f"{name}.safetensors"

    def final(self, configuration: str, seed: int) -> tuple[FinalRecord, dict[str, Tensor]] | None:
        """What a final training left; None where it has not ended."""
        record, tensors = self.paths(configuration, seed)
        if not (require_plain(record) and require_plain(tensors)):
            return None
        found = from_json(read_text(record), FinalRecord, where=str(record))
        return found, read_tensors(tensors)

    def write(self, record: StudyRecord) -> None:
        write_text(self.path / RECORD, to_json(record, indent=1))

    def write_winner(self, texts: Mapping[str, str]) -> None:
        """Configurations of `polytask fit` by file name, in the place of earlier ones."""
        for file in self.path.iterdir():
            if _WINNER.fullmatch(file.name) and file.name not in texts and require_plain(file):
                act_on(file, file.unlink)
        for name, text in texts.items():
            write_text(self.path / name, text)

    def release(self) -> None:
        """Let other processes write the folder."""
        if self.lock is not None:
            self.lock.release()


def free_path(config: StudyConfig) -> Path:
    """Where the study goes; UserError where something lies there already that is not to be replaced."""
    path = config.out
    if path is None:
        raise UserError("a study needs a folder: --out=runs/study")
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: the output is a folder, but a file of this name exists")
    holds_study = path.is_dir() and require_plain(path / STUDY)
    is_empty = not path.is_dir() or all(entry.name == LOCK for entry in path.iterdir())
    if not is_empty and not (holds_study and config.overwrite):
        hint = f", or go on with {flag('resume', path)}" if holds_study else ""
        raise UserError(f"{path}: the folder is not empty; name another --out{hint}")
    return path


def by_part(tensors: Mapping[str, Tensor], names: list[str]) -> dict[str, dict[str, Array]]:
    """Predictions by part and task."""
    found: dict[str, dict[str, Array]] = {}
    for key, tensor in tensors.items():
        part, _, place = key.partition("/")
        found.setdefault(part, {})[names[int(place)]] = tensor.numpy()
    return found


def _clear(path: Path) -> None:
    """Remove an earlier study, and nothing that polytask did not put there."""
    trainings = path / TRAININGS
    if require_plain(trainings, "folder"):
        for file in sorted(trainings.iterdir()):
            if _TRAINING.fullmatch(file.name) and require_plain(file):
                act_on(file, file.unlink)
    for file in sorted(path.iterdir()):
        is_ours = file.name in (REPORT, RECORD, ORIGIN, STUDY, TRIALS, f"{TRIALS}-journal")
        if (is_ours or _WINNER.fullmatch(file.name)) and require_plain(file):
            act_on(file, file.unlink)
