"""What a model was trained on, run by run where each goes on with the inputs of the one before."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SeenRecord:
    """The training rows of one run of a chain.

    `days` are spans without a gap, the dates of their first and last days, where the rows have times.
    `files` are the first of `num_files` by name, where a table was read from files.
    """

    rows: int
    days: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    num_files: int = 0

    @property
    def days_in_words(self) -> str:
        """2026-11-01 to 2026-11-03, 2026-11-05."""
        return ", ".join(
            first if first == last else f"{first} to {last}" for first, last in self.days
        )

    @property
    def files_in_words(self) -> str:
        """The files' names, and how many more there are."""
        more = self.num_files - len(self.files)
        return ", ".join(self.files) + (f" and {more:,} more" if more else "")


def chain_in_words(seen: Sequence[SeenRecord]) -> str:
    """What a chain of runs was trained on, in one line."""
    days = [day for each in seen for span in each.days for day in span]
    time = f", from {min(days)} to {max(days)}" if days else ""
    files = sum(each.num_files for each in seen)
    read = f", of {files:,} {'file' if files == 1 else 'files'}" if files else ""
    rows = sum(each.rows for each in seen)
    return f"{len(seen):,} runs have seen {rows:,} training rows{read}{time}"
