"""`study` as a person sees it: what was read, a table that moves, the answer at the end."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from polytask.cli.stopping import told_how_to_resume
from polytask.cli.tables import console_for_tables, show_lines
from polytask.cli.visible import visible
from polytask.config.study import Places, StudyConfig, validate_study
from polytask.fitting.events import Notice
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.telling import prepared_lines
from polytask.records.layout import REPORT
from polytask.records.study import Paired, StudyRecord
from polytask.records.study_files import STUDY
from polytask.report.formatting import seconds
from polytask.report.study_text import answer, verdict, warnings
from polytask.study.events import FinalEnded, Progressed, StudyFinished, TrialEnded
from polytask.study.folder import StudyFolder
from polytask.study.running import study_events


def show_study(config: StudyConfig, places: Places | None = None, *, machines: int = 0) -> None:
    """Compare and print; `machines`: processes that Ray places beside this one."""
    with told_how_to_resume(config.out, "study", STUDY), _placed(config, machines):
        _show(config, places, None, joins=False)


def show_resumed_study(
    path: Path, *, joins: bool, over: dict[str, object], machines: int = 0
) -> None:
    """Go on with a study that was stopped, or take part in one at work; `over`: options of this process."""
    folder, config, places = StudyFolder.open(path, joins=joins)
    if over:
        checked = validate_study({"fit": config.fit, **over}, from_text=True)
        config = config.model_copy(update={name: getattr(checked, name) for name in over})
    with told_how_to_resume(path, "study", STUDY), _placed(config, machines):
        _show(config, places, folder, joins=joins)


def _placed(config: StudyConfig, machines: int) -> AbstractContextManager[None]:
    """The processes that Ray places while the study runs; none where it is not asked to."""
    if not machines or config.out is None:
        return nullcontext()
    from polytask.study.on_ray import placed_on_ray

    return placed_on_ray(
        config.out, storage=config.storage, machines=machines, workers=config.workers
    )


def _show(
    config: StudyConfig, places: Places | None, folder: StudyFolder | None, *, joins: bool
) -> None:
    console = console_for_tables()
    with _screen(console) as live:
        for event in study_events(config, places=places, folder=folder, joins=joins):
            match event:
                case Notice():
                    show_lines(console, [f"note: {event.text}"])
                case Prepared():
                    show_lines(console, prepared_lines(event))
                case Progressed() if live is not None:
                    live.update(progress_table(event.record), refresh=True)
                case TrialEnded() | FinalEnded() if live is None:
                    show_lines(console, [_line(event)])
                case StudyFinished():
                    if live is not None:
                        live.update("", refresh=True)
                    _show_answer(console, event)


@contextmanager
def _screen(console: Console) -> Iterator[Live | None]:
    """A table at a terminal; nothing in a pipe, where a line a training says the same.

    It is drawn by hand: a thread of its own would be in the way of forks.
    """
    if not console.is_terminal:
        with nullcontext():
            yield None
        return
    with Live("", console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield live


def progress_table(record: StudyRecord) -> Table:
    """A line a row: how many trials, the best score, what runs now."""
    table = _table("way to train", "trials", "best score", "now")
    done = len(record.trials)
    for row in record.rows:
        running = [f"{what}" for name, what in record.running.items() if name.startswith(row.name)]
        trials = f"{row.trials}" + (f", {row.failed} failed" if row.failed else "")
        score = "-" if row.score is None else f"{row.score:.4f}"
        table.add_row(visible(row.title), trials, score, ", ".join(running))
    table.caption = (
        f"{done} of {record.num_trials} trials, {len(record.seeds)} of {record.num_seeds} seeds; "
        f"{seconds(record.seconds)} of {seconds(record.budget)}"
    )
    return table


def _line(event: TrialEnded | FinalEnded) -> str:
    at = time.strftime("%H:%M:%S")
    if isinstance(event, FinalEnded):
        ended = f"failed: {event.reason}" if event.reason else f"trained in {event.seconds:.1f} s"
        return f"{at} {visible(event.configuration)}, seed {event.seed}: {ended}"
    line = event.line
    said = {
        "done": f"score {line.score:.4f}" if line.score is not None else "no score",
        "pruned": "stopped early",
        "failed": f"failed: {line.reason}",
    }[line.state]
    chosen = ", ".join(
        f"{name.replace('_', ' ')} {value if isinstance(value, str) else f'{value:g}'}"
        for name, value in line.chosen.items()
    )
    return f"{at} {visible(line.configuration)}, trial {line.place + 1}: {said} ({line.seconds:.1f} s; {chosen})"


def _show_answer(console: Console, event: StudyFinished) -> None:
    record = event.record
    console.print()
    show_lines(console, [visible(verdict(record))])
    show_lines(console, (f"note: {visible(warning)}" for warning in warnings(record)))
    for question, words in answer(record):
        show_lines(console, [f"{question} {visible(words)}"])
    if any(row.cells for row in record.rows):
        console.print("\ntest metrics, mean over seeds [95 % interval]; gain over separate models")
        console.print(_answer_table(record))
    places = [f"\nstudy: {event.folder}", f"report: {event.folder / REPORT}"]
    if record.advice is not None:
        places += [
            f"to train it: polytask fit --config {event.folder / name}"
            for name in record.advice.configs
        ]
    console.print("\n".join(places), markup=False, soft_wrap=True)


def _answer_table(record: StudyRecord) -> Table:
    names = [f"{task.name} {task.metric}" for task in record.tasks]
    heads = [head for name in names for head in (name, "gain")]
    table = _table("way to train", *heads, "mean gain", "mean rank", "s")
    for row in record.rows:
        if not row.cells:
            continue
        cells = [
            text for cell in row.cells for text in (str(cell.value), _gained(cell.over_single))
        ]
        is_chosen = record.advice is not None and record.advice.row == row.name
        table.add_row(
            f"{visible(row.title)}{' *' if is_chosen else ''}",
            *cells,
            _gained(row.mean_over_single),
            "-" if row.mean_rank is None else f"{row.mean_rank:.2f}",
            "-" if row.seconds is None else f"{row.seconds:.1f}",
        )
    return table


def _gained(paired: Paired | None) -> str:
    """+ or - where it is detectably better or worse, ~ where no difference is detectable."""
    if paired is None:
        return "-"
    mark = {"better": "+", "worse": "-", "none": "~", "open": "?"}[paired.verdict]
    return f"{paired.gain.value:+.4f} {mark}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # The name stays whole, so that a line is a line.
        table.add_column(column, overflow="fold", no_wrap=column == columns[0])
    return table
