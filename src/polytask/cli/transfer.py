"""`transfer` as a person sees it: what was read, a line a training, the answer at the end."""

import math
from pathlib import Path

from rich.console import Console
from rich.table import Table

from polytask.cli.stopping import told_how_to_resume
from polytask.cli.tables import console_for_tables, show_lines
from polytask.config import FitConfig
from polytask.fitting.events import Notice
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.telling import prepared_lines
from polytask.records import Gain
from polytask.records.transfer import TransferOptions, TransferRecord
from polytask.report.transfer_rows import grouping_rows
from polytask.report.transfer_text import (
    grouping_words,
    harm_words,
    judgement,
    verdict,
    warnings,
)
from polytask.transfer.folder import TransferFolder
from polytask.transfer.measuring import TrainingEnded, TransferFinished, transfer_events


def show_transfer(config: FitConfig, options: TransferOptions) -> None:
    """Measure and print."""
    with told_how_to_resume(config.out, "transfer"):
        _show(config, options, None)


def show_resumed_transfer(path: Path) -> None:
    """Go on with a study that was stopped; finished trainings are not repeated."""
    folder, config, options = TransferFolder.open(path)
    with told_how_to_resume(path, "transfer"):
        _show(config, options, folder)


def _show(config: FitConfig, options: TransferOptions, folder: TransferFolder | None) -> None:
    console = console_for_tables()
    for event in transfer_events(config, options, folder=folder):
        match event:
            case Notice():
                show_lines(console, [f"note: {event.text}"])
            case Prepared():
                show_lines(console, prepared_lines(event))
            case TrainingEnded():
                show_lines(console, [_training_line(event)])
            case TransferFinished():
                _show_record(console, event.record)
                if event.folder is not None:
                    places = f"\nstudy: {event.folder}\nreport: {event.folder / 'report.html'}"
                    console.print(places, markup=False, soft_wrap=True)


def _training_line(event: TrainingEnded) -> str:
    record = event.record
    names = " + ".join(record.tasks)
    scores = " ".join(
        f"{name} {value:.4f}" for name, value in record.valid.items() if math.isfinite(value)
    )
    variant = f", {record.variant}" if record.variant else ""
    took = f"{record.seconds:.1f} s" if event.is_new else "done before"
    return f"{event.number:3d}. {names}{variant}, seed {record.seed}: {scores} ({took})"


def _show_record(console: Console, record: TransferRecord) -> None:
    """The answer, the gains, the groupings, and what the cheap scores were worth."""
    console.print()
    show_lines(console, [verdict(record), *harm_words(record)])
    show_lines(console, (f"note: {warning}" for warning in warnings(record)))
    names = record.order
    gains = {(each.cause, each.task): each.gain for each in (*record.pairs, *record.together)}
    table = _table("trained beside", *names)
    for cause in (*names, "all"):
        cells = [_shown(gains.get((cause, name))) for name in names]
        if any(cells):
            table.add_row(cause, *cells)
    console.print("\ngain over training alone, on validation rows (~ its interval covers zero)")
    console.print(table)
    _show_groupings(console, record)
    table = _table("cheap score", "rank correlation with the gains", "what that means")
    for row in map(judgement, record.scores):
        known = row.correlation is not None
        shown = f"{row.correlation:+.2f} [{row.low:+.2f}, {row.high:+.2f}]" if known else "-"
        table.add_row(row.title, shown, row.words)
    console.print()
    console.print(table)


def _show_groupings(console: Console, record: TransferRecord) -> None:
    table = _table("grouping", "groups", "expected", "measured")
    for row in grouping_rows(record):
        is_apart = row.num_models == len(record.order)
        expected = "-" if row.expected is None else f"{row.expected:+.4f}"
        measured = "0 by definition" if is_apart else str(row.mean or "not trained")
        table.add_row(row.title, row.groups, expected, measured)
    console.print(f"\n{grouping_words(record)}", markup=False)
    console.print(table)


def _shown(gain: Gain | None) -> str:
    if gain is None:
        return ""
    return f"{gain.value:+.4f}{' ~' if gain.covers_zero else ''}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
