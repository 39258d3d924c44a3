"""The report of a run, a study or a study of transfer: plain records -> one HTML file that opens offline.

Reads run.yaml, metrics.json, figures.json and steps.jsonl of a run folder, or a study's records, and nothing of ours.
"""

from pathlib import Path

from polytask.errors import UserError
from polytask.files.plain import require_plain
from polytask.files.writing import make_folder, write_text
from polytask.records import study_files, transfer_files
from polytask.records.layout import FILES, REPORT

_OF_STUDIES = (study_files.STUDY, study_files.RECORD, study_files.TRIALS)
_OF_TRANSFER = (transfer_files.STUDY, transfer_files.ORIGIN, transfer_files.TRANSFER)
_OTHERS = {*FILES, *_OF_STUDIES, *_OF_TRANSFER} - {REPORT}

MARK = b'<meta name="generator" content="polytask">'
_BEFORE_MARK = 1024

__all__ = ["write_report"]


def write_report(folder: Path, *, out: Path | None = None, overwrite: bool = False) -> Path:
    """Write the report of the run or study in `folder` to `out`, or to report.html beside its records.

    Files that are missing are named in the report. UserError where the folder holds no run at all,
    or a damaged file, and where something else than a report stands under the name of `out`, unless
    `overwrite` says that it goes.
    """
    target = out or folder / REPORT
    _check_target(target, folder, overwrite=overwrite)
    html = _rendered(folder)
    make_folder(target.parent)
    write_text(target, html)
    return target


def _rendered(folder: Path) -> str:
    """By what the folder holds. Drawing brings matplotlib and jinja2, which nobody should wait for who draws nothing."""
    if require_plain(folder / transfer_files.ORIGIN):
        from polytask.report.transfer import render_transfer

        return render_transfer(transfer_files.read_transfer(folder))
    if require_plain(folder / study_files.STUDY):
        from polytask.report.study import render_study

        return render_study(study_files.read_record(folder))
    from polytask.report.page import render
    from polytask.report.reading import read_run

    return render(read_run(folder))


def _check_target(target: Path, folder: Path, *, overwrite: bool) -> None:
    if target.parent.is_dir() and target.parent.samefile(folder) and target.name in _OTHERS:
        raise UserError(f"{target}: this is a file that the report is drawn from")
    if require_plain(target) and not overwrite and not _is_report(target):
        raise UserError(
            f"{target}: a file exists that is no report of polytask; pass --overwrite or name another "
            "--out"
        )


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK in file.read(len(MARK) + _BEFORE_MARK)
