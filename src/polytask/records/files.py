"""The record files of a run folder: one writer and one reader for all.

What is missing is None, or empty: the run has not ended. A damaged or foreign file is a UserError
that begins with the file.
"""

from dataclasses import replace
from pathlib import Path

from polytask.files.reading import read_text
from polytask.files.writing import append_line, write_text
from polytask.records.codec import Record, from_json, to_json
from polytask.records.figures import Figures
from polytask.records.layout import FIGURES, METRICS, STEPS
from polytask.records.run import RunRecord
from polytask.records.steps import History, HistoryRecord, StepRecord, ValidationRecord


def write_metrics(folder: Path, record: RunRecord) -> None:
    """metrics.json; whoever reads it meanwhile never sees half a file."""
    write_text(folder / METRICS, to_json(record, indent=2))


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
    write_text(folder / FIGURES, to_json(figures))


def read_figures(folder: Path) -> Figures | None:
    """figures.json, or None where it is not there."""
    return _read(folder / FIGURES, Figures)


def append_history(folder: Path, record: HistoryRecord) -> None:
    """A line more of steps.jsonl."""
    append_line(folder / STEPS, to_json(record))


def read_history(folder: Path) -> History:
    """All lines of steps.jsonl; a last one without its end was being written when the run stopped."""
    path = folder / STEPS
    if not path.is_file():
        return History()
    whole, _, _ = read_text(path).rpartition("\n")
    kinds: tuple[type[HistoryRecord], ...] = (StepRecord, ValidationRecord)
    lines = enumerate(whole.split("\n") if whole else [], start=1)
    return History(from_json(line, *kinds, where=f"{path}:{number}") for number, line in lines)


def _read(path: Path, kind: type[Record]) -> Record | None:
    return from_json(read_text(path), kind, where=str(path)) if path.is_file() else None
