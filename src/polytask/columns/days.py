"""The day of each row, by a column that holds times."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.columns.times import EpochUnit, epoch_unit_of, times
from polytask.columns.values import is_number, told, value_type
from polytask.errors import UserError

_MICROSECONDS_A_DAY = 86_400_000_000
_FIRST_DATE, _LAST_DATE = 1980_01_01, 2200_01_01


@dataclass(frozen=True, slots=True)
class DayColumn:
    """A column of times, whose whole numbers count `unit` since 1970, or are yyyymmdd.

    >>> table = pa.table({"shown": [20240229, 20240301]})
    >>> DayColumn.of(table, "shown").days(table).tolist(), in_words(19782)
    ([19782, 19783], '2024-02-29')
    """

    name: str
    unit: EpochUnit | None = None

    @classmethod
    def of(cls, table: pa.Table, name: str, *, unit: EpochUnit | None = None) -> Self:
        """The unit of whole numbers by their size, where it is not named. UserError for what is no time."""
        column = table[name]
        if unit is None and is_number(value_type(column.type)):
            middle = pc.quantile(column, 0.5)[0].as_py() or 0
            is_date = _FIRST_DATE <= middle < _LAST_DATE
            unit = "yyyymmdd" if is_date else epoch_unit_of(column, f"column {name!r}")
        found = cls(name, unit)
        found.days(table)
        return found

    def days(self, table: pa.Table) -> NDArray[np.int64]:
        """Days since 1970 (B,), of UTC where times have a zone. UserError for what is no time, or missing."""
        what = f"column {self.name!r}"
        found = times(table[self.name], what, unit=self.unit)
        if found.null_count:
            raise UserError(f"{what} is missing in {told(found.null_count, 'row')}: drop them")
        days_B: NDArray[np.int64] = found.cast(pa.int64()).to_numpy() // _MICROSECONDS_A_DAY
        return days_B


def in_words(day: int | np.integer) -> str:
    """The date of a day since 1970."""
    return str(np.datetime64(int(day), "D"))


def spans(days: NDArray[np.int64]) -> tuple[tuple[str, str], ...]:
    """Days as spans without a gap: the dates of the first and the last day of each.

    >>> spans(np.array([3, 1, 2, 2, 9]))
    (('1970-01-02', '1970-01-04'), ('1970-01-10', '1970-01-10'))
    """
    known = np.unique(days)
    runs = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1) if len(known) else []
    return tuple((in_words(run[0]), in_words(run[-1])) for run in runs)
