"""How a table is to be read: what the user says, and what an earlier fit knows."""

import codecs
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from polytask.choices import DateOrder, OnBadFile
from polytask.errors import UserError

Decimal = Literal[",", "."]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options of `read_table`; columns that a table lacks are passed over.

    text: columns whose values stay text as they are written. numbers: columns whose text is read
    as numbers wherever it can be. codes: columns in which every spelling counts, as if their name
    said an id. missing: words for a missing value in the place of the usual ones; COLUMN=WORD for
    one column. values: per column, words that are values although they are usual for missing.
    decimal: the decimal sign; found out if None. dates: in which order columns of text have day, month
    and year; found out for the others, if `finds_dates`. encoding: of text files.
    skip: columns that need not be readable. needed: the columns whose text has to be read as the values that it
    stands for; all if None. files: columns of the paths of files, which are relative to
    the table's folder. on_bad_file: what to do with a file of several that cannot be opened.
    """

    text: Collection[str] = ()
    numbers: Collection[str] = ()
    codes: Collection[str] = ()
    missing: tuple[str, ...] | None = None
    values: Mapping[str, Collection[object]] = field(default_factory=dict)
    decimal: Decimal | None = None
    dates: Mapping[str, DateOrder] = field(default_factory=dict)
    finds_dates: bool = True
    encoding: str = "utf-8"
    skip: Collection[str] = ()
    needed: Collection[str] | None = None
    files: Collection[str] = ()
    on_bad_file: OnBadFile = "stop"

    @property
    def is_utf8(self) -> bool:
        """Whether text files are in UTF-8; UserError for an encoding that is unknown."""
        try:
            return codecs.lookup(self.encoding).name == "utf-8"
        except LookupError:
            raise UserError(
                f"there is no encoding {self.encoding!r}; some are latin-1, cp1252, utf-16 and gbk"
            ) from None
