"""A fit in plain lines: what was read, a line a model, and what one should know."""

import sys
from collections.abc import Iterator

from polytask.errors import flag, in_python
from polytask.fitting.budget import budget_in_words
from polytask.fitting.comparing.labels import labels_of
from polytask.fitting.events import Event, ModelFinished, Notice
from polytask.fitting.mixing import mixing_lines
from polytask.fitting.preparing.prepare import Prepared
from polytask.records import chain_in_words

_MOST_NOTES = 12


def is_notebook() -> bool:
    """Whether this is a notebook's kernel: there a fit prints its lines unless told not to."""
    return "ipykernel" in sys.modules


def tell(event: Event) -> None:
    """Print what an event has to say, in the words of Python."""
    for line in lines_of(event):
        print(in_python(line), flush=True)


def lines_of(event: Event) -> Iterator[str]:
    """What an event has to say, in the words of the command line."""
    match event:
        case Notice():
            yield f"note: {event.text}"
        case Prepared():
            yield from prepared_lines(event)
        case ModelFinished():
            yield finished_line(event)


def finished_line(event: ModelFinished) -> str:
    """The steps and seconds of a model, and which step's weights were kept."""
    progress = event.training.progress
    kept = f", weights kept from step {progress.best_step:,}" if progress.best_step else ""
    return f"{event.name}: {progress.step:,} steps in {progress.train_seconds:.1f} s{kept}"


def prepared_lines(prepared: Prepared) -> Iterator[str]:
    """Rows, columns, each task with its kind and label rate, and columns that look like leaks."""
    rows = ", ".join(f"{size:,} {name}" for name, size in prepared.num_rows.items())
    counts = (f"{len(names)} {name}" for name, names in prepared.schema.inputs.items())
    yield f"{rows} rows; inputs: {', '.join(counts)} columns; split {prepared.split}"
    yield from reading_lines(prepared.schema.unused_summary(), prepared.notes)
    times = [
        c.name for c in prepared.schema.columns if c.kind == "time" or c.reason[:6] == "a time"
    ]
    if times and prepared.split.startswith("at random"):
        yield f"  {times[0]} is a time: {flag('time-column', times[0])} tests on the future"
    if len(prepared.seen) > 1:
        yield f"  {chain_in_words(prepared.seen)}"
    yield f"training: {budget_in_words(prepared.config, prepared.num_train)}"
    for line in mixing_lines(prepared.config, prepared.data_sets):
        yield f"  {line}"
    for position, task in enumerate(prepared.tasks):
        yield f"  {_task_line(prepared, position)}"
        conflicts = prepared.label_counts[position].conflicts
        if conflicts:
            chosen = flag("given-conflict", prepared.config.given_conflict)
            yield f"    {conflicts:,} training rows say {task.name} without {task.given}: {chosen}"
    for leak in prepared.leaks:
        allowed = " (allowed)" if leak.column in prepared.config.allow else ""
        yield (
            f"warning: column {leak.finding}{allowed}: is it known before the event? "
            f"If not, pass {flag('after', leak.column)}"
        )


def reading_lines(unused: str | None, notes: tuple[str, ...]) -> Iterator[str]:
    """A line for the columns that are not used, and one for each note."""
    more = len(notes) - _MOST_NOTES
    rest = (f"and {more:,} more notes on how columns were read",) if more > 0 else ()
    for line in (*((unused,) if unused else ()), *notes[:_MOST_NOTES], *rest):
        yield f"  {line}"


def _task_line(prepared: Prepared, position: int) -> str:
    task, count = prepared.tasks[position], prepared.label_counts[position]
    labels_B = labels_of(prepared, position)
    num_labels = len(labels_B) if task.per_word else prepared.num_train
    labels_B = labels_B[task.kind.is_labelled(labels_B)].double()
    positive = task.kind.options().get("positive")
    yes = f", yes = {positive}" if positive else ""
    given = f", given {task.given}" if task.given else ""
    line = f"{task.name}: {task.kind.name} of column {task.column}{yes}{given}"
    summary = task.kind.summary(labels_B.numpy())
    rate = f"{summary.mean:.2%} yes of " if summary.is_share and summary.mean is not None else ""
    missing = num_labels - count.labelled
    unlabelled = f", {missing:,} not labelled" if missing else ""
    what = "words" if task.per_word else "rows"
    return (
        f"{line}; {rate}{count.labelled:,} {what}{unlabelled} ({prepared.kind_reasons[position]})"
    )
