"""Which rows a run was trained on: how many, of which days and files, and which values they had when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.columns.days import DayColumn, spans
from polytask.columns.values import coded
from polytask.config import FitConfig
from polytask.errors import UserError, flag
from polytask.records import SeenRecord, read_metrics

if TYPE_CHECKING:
    from polytask.fitting.preparing.prepare import Prepared

_MOST_FILES = 20


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Training rows: how many, their days, and by column tables of `value`, `count` and, with days, the last `day`."""

    rows: int
    days: NDArray[np.int64] | None = None
    values: Mapping[str, pa.Table] = field(default_factory=dict)

    @property
    def record(self) -> SeenRecord:
        return SeenRecord(self.rows, () if self.days is None else spans(self.days))


def day_column(config: FitConfig, train: pa.Table) -> DayColumn | None:
    """The column of --time-column where it holds times; UserError where --forget needs it."""
    if config.time_column is None or config.time_column not in train.column_names:
        return None
    unit = config.input_options.get("time", {}).get("epoch_unit")
    try:
        return DayColumn.of(train, config.time_column, unit=unit)  # type: ignore[arg-type]
    except UserError as error:
        if config.forget is None:
            return None
        raise UserError(f"{flag('time-column', config.time_column)}: {error.message}") from error


def seen_in(config: FitConfig, train: pa.Table, columns: Sequence[str]) -> Seen:
    """Training rows in memory; `columns` are those of ids."""
    by_day = day_column(config, train)
    if by_day is None and config.max_ids is None:
        return Seen(train.num_rows)
    days_B = None if by_day is None else by_day.days(train)
    values = {n: coded(train[n], f"column {n!r}").tally(days_B) for n in columns}
    return Seen(train.num_rows, None if days_B is None else np.unique(days_B), values)


def chain(config: FitConfig, own: SeenRecord) -> tuple[SeenRecord, ...]:
    """What the runs have seen whose inputs go on in this one, and its own rows."""
    if not config.grow or config.init_from is None:
        return (own,)
    earlier = read_metrics(config.init_from)
    return (*(earlier.data.seen if earlier is not None else ()), own)


def with_files(prepared: "Prepared", names: Sequence[str]) -> "Prepared":
    """With the files that the training rows are from."""
    *earlier, own = prepared.seen
    own = replace(own, files=tuple(names[:_MOST_FILES]), num_files=len(names))
    return replace(prepared, seen=(*earlier, own))
