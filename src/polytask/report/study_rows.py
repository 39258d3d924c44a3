"""The lines of the tables of a study's page."""

from dataclasses import dataclass

from polytask.records.study import Paired, StudyCell, StudyRecord, StudyRow
from polytask.report.formatting import NOTHING, count, number, seconds

WORDS = {
    "better": "better",
    "worse": "worse",
    "none": "no detectable difference",
    "open": "not known",
}


@dataclass(frozen=True, slots=True)
class GainLine:
    """A task by what is recommended and by separate models."""

    task: str
    metric: str
    ours: StudyCell
    theirs: StudyCell
    paired: Paired

    @property
    def words(self) -> str:
        return WORDS[self.paired.verdict]


@dataclass(frozen=True, slots=True)
class RowLine:
    """A way to train as the table shows it; `number` is its mark in the pictures."""

    number: int
    row: StudyRow
    is_recommended: bool
    cost: str
    memory: str
    passes: str


@dataclass(frozen=True, slots=True)
class TuningLine:
    """What the trials of a row came to."""

    title: str
    trials: str
    score: str
    chosen: str


def numbers(record: StudyRecord) -> dict[str, int]:
    """Each row's mark in the pictures."""
    return {row.name: place for place, row in enumerate(record.rows, start=1)}


def recommended(record: StudyRecord) -> StudyRow | None:
    """The row that the advice names."""
    name = record.advice.row if record.advice is not None else None
    return next((row for row in record.rows if row.name == name), None)


def separate(record: StudyRecord) -> StudyRow | None:
    """The row of one model a task, where it has been trained."""
    return next((row for row in record.rows if row.group == "single" and row.cells), None)


def gain_rows(record: StudyRecord) -> list[GainLine]:
    """A line a task: what is recommended against separate models; none where these are recommended."""
    row, apart = recommended(record), separate(record)
    if row is None or apart is None:
        return []
    return [
        GainLine(ours.task, ours.value.title, ours, theirs, ours.over_single)
        for ours, theirs in zip(row.cells, apart.cells)
        if ours.over_single is not None
    ]


def row_lines(record: StudyRecord) -> list[RowLine]:
    """A line a row that has been trained under the seeds."""
    marks = numbers(record)
    chosen = record.advice.row if record.advice is not None else None
    return [
        RowLine(
            number=marks[row.name],
            row=row,
            is_recommended=row.name == chosen,
            cost=NOTHING if row.seconds is None else seconds(row.seconds),
            memory=NOTHING if row.memory is None else f"{count(row.memory / 1e6)} MB",
            passes=NOTHING if not row.passes else number(row.passes, decimals=1),
        )
        for row in record.rows
        if row.cells
    ]


def tuning_lines(record: StudyRecord) -> list[TuningLine]:
    """A line a row, what is being trained now included."""
    found = []
    for row in record.rows:
        parts = [f"{row.trials}"]
        parts += [f"{row.pruned} stopped early"] if row.pruned else []
        parts += [f"{row.failed} failed"] if row.failed else []
        found.append(
            TuningLine(
                row.title,
                ", ".join(parts),
                NOTHING if row.score is None else number(row.score),
                "; ".join(f"{_spelled(name)} {_value(v)}" for name, v in row.chosen.items()),
            )
        )
    return found


def _spelled(name: str) -> str:
    return name.replace("_", " ")


def _value(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
