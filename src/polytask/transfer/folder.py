"""The folder of a study: what was asked for, a file or two a finished training, and what came out."""

import re
from dataclasses import dataclass
from pathlib import Path

from polytask.config import FitConfig, read_config, write_config
from polytask.errors import UserError, flag
from polytask.files.lock import LOCK, Lock
from polytask.files.plain import require_plain
from polytask.files.reading import read_text
from polytask.files.writing import act_on, make_folder, write_text
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.run_folder.fingerprint import fingerprint_of
from polytask.records.codec import from_json, to_json
from polytask.records.layout import OPTIONS, REPORT
from polytask.records.transfer import StudyOrigin, TransferOptions, TransferRecord
from polytask.records.transfer_files import (
    ORIGIN,
    STUDY,
    TRAININGS,
    TRANSFER,
    read_options,
)

_TRAINING = re.compile(r"[0-9a-f]{12}\.(json|safetensors)")


@dataclass(slots=True, eq=False)
class TransferFolder:
    """A folder that this process alone writes, until `release`."""

    path: Path
    lock: Lock

    @classmethod
    def create(cls, config: FitConfig, options: TransferOptions) -> "TransferFolder | None":
        """A new folder; None where none was asked for. UserError where something lies there already."""
        if config.out is None:
            return None
        path = config.out
        if path.exists() and not path.is_dir():
            raise UserError(f"{path}: the output is a folder, but a file of this name exists")
        holds_study = path.is_dir() and require_plain(path / STUDY)
        is_empty = not path.is_dir() or all(entry.name == LOCK for entry in path.iterdir())
        if not is_empty and not (holds_study and config.overwrite):
            hint = f", or go on with {flag('resume', path)}" if holds_study else ""
            raise UserError(f"{path}: the folder is not empty; name another --out{hint}")
        make_folder(path)
        lock = Lock.take(path)
        _clear(path)
        write_text(path / OPTIONS, write_config(config))
        write_text(path / STUDY, to_json(options, indent=2))
        return cls(path, lock)

    @classmethod
    def open(cls, path: Path) -> tuple["TransferFolder", FitConfig, TransferOptions]:
        """The folder of a study that was stopped, or that has ended, with what was asked for."""
        if not (require_plain(path / STUDY) and require_plain(path / OPTIONS)):
            raise UserError(f"{path}: there is no study of transfer to go on with")
        options = read_options(path)
        config = read_config(path / OPTIONS).model_copy(update={"out": path})
        if config.table is None:
            raise UserError(
                f"{path}: the table of this study was handed over in memory and is in no file; go on from "
                "Python"
            )
        return cls(path, Lock.take(path)), config, options

    def require_same(self, config: FitConfig, prepared: Prepared) -> None:
        """UserError where the data or the options are no longer those of the first process."""
        origin = StudyOrigin(fingerprint_of(config, prepared))
        path = self.path / ORIGIN
        if not require_plain(path):
            write_text(path, to_json(origin, indent=1))
            return
        before = from_json(read_text(path), StudyOrigin, where=str(path)).parts
        changed = sorted(
            name for name in {*before, *origin.parts} if before.get(name) != origin.parts.get(name)
        )
        if changed:
            raise UserError(
                f"{self.path}: this is no longer what was started here ({', '.join(changed[:5])} "
                "changed): name another --out"
            )

    def write(self, record: TransferRecord) -> None:
        write_text(self.path / TRANSFER, to_json(record, indent=2))

    def release(self) -> None:
        """Let other processes write the folder."""
        self.lock.release()


def _clear(path: Path) -> None:
    """Remove an earlier study, and nothing that polytask did not put there."""
    trainings = path / TRAININGS
    if require_plain(trainings, "folder"):
        for file in sorted(trainings.iterdir()):
            if _TRAINING.fullmatch(file.name) and require_plain(file):
                act_on(file, file.unlink)
    for name in (REPORT, TRANSFER, ORIGIN, OPTIONS, STUDY):
        if require_plain(path / name):
            act_on(path / name, (path / name).unlink)
