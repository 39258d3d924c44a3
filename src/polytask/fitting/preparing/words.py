"""Tasks with a label for each word: which column has the words, and whether labels and words agree."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.columns.values import is_text, told, value_type
from polytask.columns.words import is_list, words_of
from polytask.config import FitConfig
from polytask.data.labels import has_a_label_a_word
from polytask.errors import UserError, flag
from polytask.fitting.preparing.tasks import make_tasks
from polytask.task import Task

_NAMES = ("words", "tokens")
INPUT = "words"
"""The input whose module makes a vector of each word."""


def with_words(config: FitConfig, table: pa.Table) -> FitConfig:
    """Where labels are of words and no column of words was named: the one that is called so."""
    named = {column for columns in config.columns.values() for column in columns}
    of_words, _ = _tasks(config, table)
    found = [name for name in _NAMES if name in table.column_names and name not in named]
    taken = {task.column for task in of_words} | set(config.ignore)
    if not of_words or config.columns.get(INPUT) or not found or found[0] in taken:
        return config
    return config.model_copy(update={"columns": {**config.columns, INPUT: (found[0],)}})


def check_words(config: FitConfig, table: pa.Table, columns: Mapping[str, Sequence[str]]) -> None:
    """UserError for labels of words without words, and for what a model of words cannot do yet."""
    of_words, of_rows = _tasks(config, table)
    has_words = bool(columns.get(INPUT))
    if of_words and not has_words:
        raise UserError(
            f"{of_words[0].what} has a label for each word, but no column is read word by word: name "
            f"it{_candidates(table, of_words)}"
        )
    if not has_words:
        return
    if of_rows:
        raise UserError(
            f"{flag('columns', f'{INPUT}={columns[INPUT][0]}')} makes a vector of each word, but "
            f"{of_rows[0].what} has one label a row: fit it apart, with the column as a text or a sequence"
        )
    for option, value in (
        ("data", config.data),
        ("history", config.history),
        ("given", config.given),
    ):
        if value:
            raise UserError(f"--{option} is not for tasks with a label for each word")


def _tasks(config: FitConfig, table: pa.Table) -> tuple[list[Task], list[Task]]:
    """Those whose labels are of words, and the others."""
    tasks = make_tasks(config)
    of_words = [t for t in tasks if has_a_label_a_word(t.kind, table[t.column])]
    return of_words, [task for task in tasks if task not in of_words]


def _candidates(table: pa.Table, tasks: Sequence[Task]) -> str:
    """The columns that may be it: lists of text that are no labels, else texts."""
    labels = {task.column for task in tasks}
    free = [each for each in table.schema if each.name not in labels]
    lists = [f.name for f in free if is_list(f.type) and is_text(value_type(f.type.value_type))]
    texts = [f.name for f in free if is_text(value_type(f.type))]
    found = (lists or texts)[:3]
    return (
        ", such as " + " or ".join(flag("columns", f"{INPUT}={name}") for name in found)
        if found
        else ""
    )


def check_lengths(
    table: pa.Table,
    column: str,
    tasks: Sequence[Task],
    *,
    rows: NDArray[np.int64] | None = None,
    part: str = "",
) -> None:
    """UserError with the first row that has not as many labels as words; a row may have no labels at all.

    `rows` are the numbers of the rows in the table of which this is a part.
    """
    words_B = words_of(table[column], f"column {column!r}").lengths_B
    for task in tasks:
        labels_B = words_of(table[task.column], task.what).lengths_B
        is_there_B = table[task.column].is_valid().to_numpy()
        wrong_B = np.flatnonzero((labels_B != words_B) & is_there_B)
        if len(wrong_B):
            first = int(wrong_B[0])
            number = first if rows is None else int(rows[first])
            more = f"; and {len(wrong_B) - 1:,} more rows" if len(wrong_B) > 1 else ""
            raise UserError(
                f"{part}{': ' if part else ''}row {number}: column {column!r} has "
                f"{told(int(words_B[first]), 'word')}, but {task.what} "
                f"{told(int(labels_B[first]), 'label')}{more}; a label that is not known is null"
            )


def refuse_words(tasks: Sequence[Task], what: str) -> None:
    """UserError for labels of words where only labels of rows are read."""
    for task in tasks:
        if task.per_word:
            raise UserError(
                f"{task.what} has a label for each word: {what} has labels of rows alone"
            )
