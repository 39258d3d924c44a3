"""What lies in the folder of a study of transfer."""

from pathlib import Path

from polytask.errors import UserError
from polytask.files.plain import require_plain
from polytask.files.reading import read_text
from polytask.records.codec import from_json
from polytask.records.transfer import TransferOptions, TransferRecord

STUDY, ORIGIN, TRANSFER = "study.json", "origin.json", "transfer.json"
TRAININGS = "trainings"


def read_options(folder: Path) -> TransferOptions:
    """study.json: what was asked for."""
    return from_json(read_text(folder / STUDY), TransferOptions, where=str(folder / STUDY))


def read_transfer(folder: Path) -> TransferRecord:
    """transfer.json; UserError where the study has not ended."""
    path = folder / TRANSFER
    if not require_plain(path):
        raise UserError(f"{folder}: there is no finished study of transfer, it lacks {TRANSFER}")
    return from_json(read_text(path), TransferRecord, where=str(path))
