"""The record of a study and its page, rewritten while it runs."""

import time
from dataclasses import dataclass

from polytask.records.study import StudyRecord
from polytask.report.study import write_study_report
from polytask.study.folder import StudyFolder
from polytask.study.summary import StudySoFar

_SECONDS_BETWEEN_REPORTS = 5.0
_MOST_OF_TIME = 0.05
"""The report may take so much of the time; it is written less often where it is slow."""


@dataclass(slots=True, eq=False)
class ReportWriter:
    """Writes the record and its page, as often as that costs little."""

    summary: StudySoFar
    folder: StudyFolder
    leads: bool
    last: float = 0.0
    cost: float = 0.0

    def write(self, *, is_finished: bool = False) -> StudyRecord:
        started = time.monotonic()
        record = self.summary.record(is_finished=is_finished)
        if self.leads:
            self.folder.write(record)
            self.folder.write_winner(self.summary.winner())
            write_study_report(self.folder.path)
        self.last = time.monotonic()
        self.cost = self.last - started
        return record

    def write_if_due(self) -> StudyRecord:
        since = time.monotonic() - self.last
        if since > max(_SECONDS_BETWEEN_REPORTS, self.cost / _MOST_OF_TIME):
            return self.write()
        return self.summary.record()
