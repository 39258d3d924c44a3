"""transfer.json -> one HTML page: who helps whom, what predicted it, which groups, at what cost."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from polytask.files.writing import write_text
from polytask.records.layout import REPORT
from polytask.records.transfer import CheapScore, Effect, TransferRecord
from polytask.records.transfer_files import read_transfer


def write_transfer_report(folder: Path) -> Path:
    """Write report.html of the finished study in `folder`, beside its records."""
    record = read_transfer(folder)
    target = folder / REPORT
    write_text(target, render_transfer(record))
    return target


def render_transfer(record: TransferRecord) -> str:
    """The whole page, self-contained."""
    from polytask.report import transfer_rows as rows
    from polytask.report import transfer_text as words
    from polytask.report.drawing import style
    from polytask.report.page import page_environment
    from polytask.report.transfer_panels import (
        capacity_panels,
        effect_matrix_panel,
        effects_panel,
        score_panel,
    )

    names = record.order
    with style():
        helping = [
            effect_matrix_panel(
                names,
                record.pairs,
                "Trained beside one other task",
                "What the task of the row does for the task of the column when the two are trained "
                "together: the gain over training alone, in thousandths of the column's metric.",
            ),
            effects_panel(record.together, "Trained beside all others"),
        ]
        harming = [
            effect_matrix_panel(
                names,
                record.left_out,
                "Left out of the model for all",
                "What leaving the task of the row out does for the task of the column, in thousandths of "
                "the column's metric: blue means that the column is better off without the row.",
            )
        ]
        return (
            page_environment()
            .get_template("transfer.html.j2")
            .render(
                record=record,
                verdict=words.verdict(record),
                warnings=words.warnings(record),
                facts=words.facts(record),
                judgements=[words.judgement(score) for score in record.scores],
                pairs=rows.effect_rows(record, record.pairs),
                together=rows.effect_rows(record, record.together),
                left_out=rows.effect_rows(record, record.left_out),
                groupings=rows.grouping_rows(record),
                grouping_words=words.grouping_words(record),
                harm_words=words.harm_words(record),
                remedies=rows.remedy_rows(record),
                tasks=rows.task_rows(record),
                helping=[panel for panel in helping if panel is not None],
                harming=[panel for panel in harming if panel is not None],
                scores=[
                    score_panel(names, score) for score in record.scores if _has_numbers(score)
                ],
                capacity=capacity_panels(record.capacity),
                capacity_words=words.capacity_words(record.capacity),
                environment=asdict(record.environment),
            )
        )


def _has_numbers(score: CheapScore) -> bool:
    return any(value is not None for row in score.matrix for value in row)


def matrix_of(
    names: Sequence[str], effects: Sequence[Effect]
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """Gains by (cause, task); NaN where there is none."""
    place = {name: position for position, name in enumerate(names)}
    found = np.full((len(names), len(names)), np.nan)
    for effect in effects:
        found[place[effect.cause], place[effect.task]] = effect.gain.value
    return found
