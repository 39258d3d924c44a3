"""The record files of a run folder: one writer and one reader for all.

What is missing is None, or empty: the run has not ended. A damaged or foreign file is a UserError
that begins with the file.
"""

from dataclasses import replace
from pathlib import Path

from polytask.records.codec import DamagedRecordError, Record, from_json, to_json
from polytask.records.figures import Figures
from polytask.records.run import RunRecord
from polytask.records.steps import History, HistoryRecord, StepRecord, ValidationRecord

METRICS, FIGURES, STEPS = "metrics.json", "figures.json", "steps.jsonl"


def write_metrics(folder: Path, record: RunRecord) -> None:
    """metrics.json; whoever reads it meanwhile never sees half a file."""
    _write(folder / METRICS, to_json(record, indent=2))


def read_metrics(folder: Path) -> RunRecord | None:
    """metrics.json, or None where it is not there: the run has not ended."""
    return _read(folder / METRICS, RunRecord)


def count_test_evaluation(folder: Path) -> None:
    """Note in metrics.json, where the run has ended, that it has met one more test table."""
    record = read_metrics(folder)
    if record is not None:
        met = record.test_evaluations + 1
        write_metrics(folder, replace(record, test_evaluations=met))


def write_figures(folder: Path, figures: Figures) -> None:
    """figures.json."""
    _write(folder / FIGURES, to_json(figures))


def read_figures(folder: Path) -> Figures | None:
    """figures.json, or None where it is not there."""
    return _read(folder / FIGURES, Figures)


def append_history(folder: Path, record: HistoryRecord) -> None:
    """A line more of steps.jsonl."""
    with (folder / STEPS).open("a", encoding="utf-8") as file:
        file.write(to_json(record) + "\n")


def read_history(folder: Path) -> History:
    """All lines of steps.jsonl; a last one without its end was being written when the run stopped."""
    path = folder / STEPS
    if not path.is_file():
        return History()
    whole, _, _ = _text(path).rpartition("\n")
    kinds: tuple[type[HistoryRecord], ...] = (StepRecord, ValidationRecord)
    lines = enumerate(whole.split("\n") if whole else [], start=1)
    return History(from_json(line, *kinds, where=f"{path}:{number}") for number, line in lines)


def _read(path: Path, kind: type[Record]) -> Record | None:
    return from_json(_text(path), kind, where=str(path)) if path.is_file() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DamagedRecordError(f"{path}: this is no text: {error}") from error


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
