"""Words that stand for a missing value: "nan", "NA", "null", "?" and such."""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from polytask.columns.values import parsed_numbers
from polytask.data.options import ReadOptions

USUAL = (
    *("", "nan", "-nan", "NaN", "-NaN", "NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "null", "NULL"),
    *("None", "NaT", "\\N", "?"),
)
"""pandas' words, so that a file read by pandas has the same values, and two of databases."""
_WORDS_THAT_ARE_CODES = ("NA",)
"""NA is Namibia among codes of countries."""


def words_for(name: str, options: ReadOptions) -> frozenset[str]:
    """The words that stand for a missing value in one column.

    >>> sorted(words_for("click", ReadOptions(missing=("-1", "watch=0"))))
    ['', '-1']
    """
    words = set(USUAL) if options.missing is None else {"", *_named(name, options.missing)}
    return frozenset(words - set(options.values.get(name, ())))


def numbers_for(name: str, options: ReadOptions) -> pa.Array:
    """The numbers that stand for a missing value in one column: only those that are asked for."""
    return parsed_numbers(pa.array(_named(name, options.missing or ()), pa.string())).drop_null()


def missing_among(texts: pa.Array, words: Collection[str]) -> pa.Array:
    """Which of a column's different texts stand for a missing value.

    A word of letters stays a value among codes of its form: NA among country codes.
    """
    trimmed = pc.utf8_trim_whitespace(texts)
    found = pc.is_in(trimmed, value_set=pa.array(sorted(words), trimmed.type))
    for word in _WORDS_THAT_ARE_CODES:
        if word in words and _are_codes_like(word, trimmed.filter(pc.invert(found))):
            found = pc.and_(found, pc.not_equal(trimmed, word))
    return found


def _are_codes_like(word: str, others: pa.Array) -> bool:
    if len(others) < 2:
        return False
    fitting = pc.match_substring_regex(others, f"^[A-Z]{{{len(word)}}}$")
    return bool(pc.sum(fitting).as_py() > 0.5 * len(others))


def _named(name: str, missing: Collection[str]) -> list[str]:
    """The words given for all columns, and those given for this one."""
    words = []
    for entry in missing:
        column, sign, word = entry.partition("=")
        if not sign:
            words.append(entry)
        elif column.strip() == name:
            words.append(word.strip())
    return words
