"""The records of a run: as they were made, or read from its folder where somebody asks for them."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from polytask.records import (
    Figures,
    History,
    RunRecord,
    read_figures,
    read_history,
    read_metrics,
)


class Records(Protocol):
    """metrics.json, figures.json (None for a run that has not ended), and steps.jsonl."""

    @property
    def record(self) -> RunRecord | None: ...

    @property
    def figures(self) -> Figures | None: ...

    @property
    def history(self) -> History: ...


@dataclass(frozen=True)
class RecordsInMemory:
    """Those of a run that was fitted just now."""

    record: RunRecord | None
    figures: Figures | None
    history: History = field(default_factory=History)


@dataclass(frozen=True)
class RecordsOnDisk:
    """Each file is read once, when it is first asked for: predicting needs none of them."""

    folder: Path

    @cached_property
    def record(self) -> RunRecord | None:
        return read_metrics(self.folder)

    @cached_property
    def figures(self) -> Figures | None:
        return read_figures(self.folder)

    @cached_property
    def history(self) -> History:
        return read_history(self.folder)
