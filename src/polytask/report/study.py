"""study.json -> one HTML page: what to use, what it gains, what it costs, how sure that is."""

from dataclasses import asdict
from pathlib import Path

from polytask.files.writing import write_text
from polytask.records.layout import REPORT
from polytask.records.study import StudyRecord
from polytask.records.study_files import read_record


def write_study_report(folder: Path) -> Path:
    """Write report.html of the study in `folder`, however far it has come, beside its records."""
    target = folder / REPORT
    write_text(target, render_study(read_record(folder)))
    return target


def render_study(record: StudyRecord) -> str:
    """The whole page, self-contained."""
    from polytask.report import study_rows as rows
    from polytask.report import study_text as words
    from polytask.report.drawing import style
    from polytask.report.page import page_environment
    from polytask.report.study_panels import front_panels, means_panel, task_gains_panel

    with style():
        panels = [task_gains_panel(record), means_panel(record)]
        return (
            page_environment()
            .get_template("study.html.j2")
            .render(
                record=record,
                title=words.title(record),
                verdict=words.verdict(record),
                warnings=words.warnings(record),
                facts=words.facts(record),
                answer=words.answer(record),
                gains=rows.gain_rows(record),
                lines=rows.row_lines(record),
                tuning=rows.tuning_lines(record),
                failures=[line for line in record.trials if line.state == "failed"],
                panels=[panel for panel in panels if panel is not None],
                front=front_panels(record),
                front_words=words.front_words(record),
                rank_words=words.rank_words(record),
                method=words.method(record),
                command=record.command,
                environment=asdict(record.environment),
            )
        )
