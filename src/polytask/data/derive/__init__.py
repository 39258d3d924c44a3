"""New columns from a formula, row by row: `watch_ratio = play_time_ms / duration_ms`."""

import re
from dataclasses import dataclass

import pyarrow as pa

from polytask.data.derive.grammar import read_formula
from polytask.errors import UserError

_ASSIGNMENT = re.compile(r"\s*(?:`([^`]+)`|([^`=<>!]*[^`=<>!\s]))\s*=(?!=)\s*(.*?)\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Derivation:
    """A column `name` computed row by row by `expression`.

    Python's operators with SQL's missing values: missing in, missing out (`false and null` is
    false), and what is undefined, such as x / 0, is missing. Names of other characters than
    letters, digits and underscores go into backquotes, in `expression` too.
    Raises UserError, at once, for a formula that is not understood.
    """

    name: str
    expression: str

    def __post_init__(self) -> None:
        if not self.name or not self.expression.strip():
            raise UserError("a name or a formula is missing: write NAME = FORMULA")
        read_formula(self.expression)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the formula reads."""
        return read_formula(self.expression).columns

    def apply(self, table: pa.Table) -> pa.Table:
        """The table with the column appended; UserError if it is there already."""
        if self.name in table.column_names:
            raise UserError(f"derived column {self.name!r}: the table has one of that name already")
        formula = read_formula(self.expression)
        try:
            return table.append_column(self.name, formula.evaluate(table))
        except UserError as error:
            raise UserError(f"derived column {self.name!r}: {error.message}") from None


def parse_derivation(text: str) -> Derivation:
    """Read `watch_ratio = play_time_ms / duration_ms`."""
    match = _ASSIGNMENT.fullmatch(text)
    if match is None:
        raise UserError(f"cannot read {text!r}: write NAME = FORMULA, such as `ratio = a / b`")
    name = match[1] or match[2]
    try:
        return Derivation(name, match[3])
    except UserError as error:
        raise UserError(f"derived column {name!r}: {error.message}") from None
