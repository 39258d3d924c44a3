"""Text columns of few rows, read in Python: a call of Arrow takes some 20 us, whatever it does."""

import re
from collections.abc import Collection
from itertools import compress
from typing import NamedTuple

import pyarrow as pa

from polytask.choices import DateOrder
from polytask.columns.values import listed, told


class Change(NamedTuple):
    """A column in the place of another, what to say of it, and the order in which its text had dates."""

    values: pa.Array | pa.ChunkedArray
    note: str
    order: DateOrder | None = None


_DIGITS = frozenset("0123456789.,")
_WHOLE = re.compile("0|-?[1-9][0-9]{0,8}")
_WORD_THAT_IS_A_CODE = "NA"


def read_few(
    column: pa.ChunkedArray,
    words: frozenset[str],
    values: Collection[object] = (),
    *,
    known: bool,
    stays_text: bool,
) -> tuple[bool, Change | None]:
    """Whether the plain cases settle what the column is, and what then stands in its place.

    `words` stand for missing where they are not among its `values`, which are asked for a word that is there alone.

    The cases are those of `with_values_of_text`: text without a word for missing or a digit stays as it
    is, words for missing in what stays text are missing, and plain whole numbers are numbers.

    >>> column = pa.chunked_array([["7", None, "12"]])
    >>> read_few(column, frozenset({"?"}), known=False, stays_text=False)[1][0].to_pylist()
    [7, None, 12]
    """
    rows = listed(column)
    texts = {text for text in set(rows) if isinstance(text, str)}
    different = {text.strip() for text in texts}
    lost = {word for word in words & different if word not in values}
    if lost:
        is_plain = not pa.types.is_dictionary(column.type) and _WORD_THAT_IS_A_CODE not in lost
        if is_plain and stays_text and not known and _are_as_written(texts, lost):
            return True, _without(rows, texts, lost, column.type)
        return False, None
    if not known and (stays_text or _DIGITS.isdisjoint("".join(different))):
        return True, None
    if not stays_text and different and all(map(_WHOLE.fullmatch, different)):
        number_of: dict[object, int] = {text: int(text) for text in texts}
        whole = [*map(number_of.get, rows)]
        numbers = pa.chunked_array([pa.array(whole, pa.int64())])
        return True, Change(numbers, "text read as numbers")
    return False, None


def _are_as_written(texts: Collection[str], words: Collection[str]) -> bool:
    """Whether the words stand as they are, or behind one space, as they are looked for among many rows."""
    written = {f"{space}{word}" for word in words for space in ("", " ")}
    return all(text in written or text.strip() not in words for text in texts)


def _without(
    rows: list[object], texts: Collection[str], words: Collection[str], dtype: pa.DataType
) -> Change:
    written = {text for text in texts if text.strip() in words}
    lost = [text in written for text in rows]
    cleaned = [None if is_lost else text for text, is_lost in zip(rows, lost)]
    shown = [repr(text) for text in dict.fromkeys(compress(rows, lost)) if str(text).strip()]
    note = f"{', '.join(shown)} taken for missing in {told(sum(lost), 'row')}" if shown else ""
    return Change(pa.chunked_array([pa.array(cleaned, dtype)]), note)
