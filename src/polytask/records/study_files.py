"""What lies in the folder of a study."""

from pathlib import Path

from polytask.errors import UserError
from polytask.files.plain import require_plain
from polytask.files.reading import read_text
from polytask.records.codec import from_json
from polytask.records.study import StudyRecord

STUDY, RECORD, TRIALS = "study.yaml", "study.json", "trials.db"
TRAININGS = "trainings"


def read_record(folder: Path) -> StudyRecord:
    """study.json; UserError where no trial of the study has ended yet."""
    path = folder / RECORD
    if not require_plain(path):
        raise UserError(f"{folder}: there is no study that has begun, it lacks {RECORD}")
    return from_json(read_text(path), StudyRecord, where=str(path))
