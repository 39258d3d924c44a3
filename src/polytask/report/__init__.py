"""The report of a run: plain records -> one HTML file that opens offline.

Reads run.yaml, metrics.json, figures.json and steps.jsonl of a run folder, and nothing of ours.
"""

from pathlib import Path

from polytask.errors import UserError
from polytask.files.plain import require_plain
from polytask.files.writing import make_folder, write_text
from polytask.records.layout import FILES, REPORT

_OTHERS = {*FILES} - {REPORT}

MARK = b'<meta name="generator" content="polytask">'
_BEFORE_MARK = 1024

__all__ = ["write_report"]


def write_report(folder: Path, *, out: Path | None = None, overwrite: bool = False) -> Path:
    """Write the report of the run in `folder` to `out`, or to report.html beside its records.

    Files that are missing are named in the report. UserError where the folder holds no run at all,
    or a damaged file, and where something else than a report stands under the name of `out`, unless
    `overwrite` says that it goes.
    """
    target = out or folder / REPORT
    _check_target(target, folder, overwrite=overwrite)
    # Drawing brings matplotlib and jinja2, which nobody should wait for who draws nothing.
    from polytask.report.page import render
    from polytask.report.reading import read_run

    html = render(read_run(folder))
    make_folder(target.parent)
    write_text(target, html)
    return target


def _check_target(target: Path, folder: Path, *, overwrite: bool) -> None:
    if target.parent.is_dir() and target.parent.samefile(folder) and target.name in _OTHERS:
        raise UserError(f"{target}: this is a file of the run that the report is drawn from")
    if require_plain(target) and not overwrite and not _is_report(target):
        raise UserError(
            f"{target}: a file exists that is no report of polytask; pass --overwrite or name another "
            "--out"
        )


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK in file.read(len(MARK) + _BEFORE_MARK)
