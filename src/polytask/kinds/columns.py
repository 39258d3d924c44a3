"""Label columns as they come -> columns that kinds read: missing words, numbers written as text."""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from polytask.columns.values import is_text

_MISSING_WORDS = ("", "nan", "na", "n/a", "null", "none", "?", "-")
_NUMBER = r"^[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)(e[-+]?[0-9]+)?$"
"""Without leading zeros: 007 is a name."""


def label_column(column: pa.ChunkedArray, missing: Collection[str] = ()) -> pa.ChunkedArray:
    """The column with `missing` values as nulls, and with numbers where its texts are all numbers.

    Among numbers the usual words for missing are missing too; among other texts they may be names.

    >>> label_column(pa.chunked_array([["1.0", "nan", "0.0"]])).to_pylist()
    [1.0, None, 0.0]
    """
    if pa.types.is_dictionary(column.type):
        if not is_text(column.type.value_type):
            return _without(column.cast(column.type.value_type), missing)
        texts = column.combine_chunks().dictionary
    else:
        texts = column
    if not is_text(texts.type):
        return _without(column, missing)
    words = pa.array(sorted({*_MISSING_WORDS, *(word.lower() for word in missing)}))
    lower = pc.utf8_lower(pc.utf8_trim_whitespace(texts.cast(pa.string())))
    is_word = pc.is_in(lower, value_set=words)
    numeric = pc.or_(is_word, pc.match_substring_regex(lower, _NUMBER))
    if pc.all(numeric).as_py() and not pc.all(is_word).as_py():
        plain = column.cast(pa.string())
        trimmed = pc.utf8_ltrim(pc.utf8_lower(pc.utf8_trim_whitespace(plain)), "+")
        known = pc.if_else(pc.is_in(trimmed, value_set=words), None, trimmed)
        return _whole_as_integers(known.cast(pa.float64()), known)
    return _without(column, missing)


def _without(column: pa.ChunkedArray, missing: Collection[str]) -> pa.ChunkedArray:
    """Nulls where the value is one of `missing`: as a number in a column of numbers."""
    if not missing or pa.types.is_null(column.type):
        return column
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values = [float(word) for word in missing if _is_number(word)]
        among = pc.is_in(
            column.cast(pa.float64(), safe=False), value_set=pa.array(values, pa.float64())
        )
    elif pa.types.is_dictionary(column.type) or is_text(column.type):
        column = column.cast(pa.large_string())
        among = pc.is_in(column, value_set=pa.array(list(missing), pa.large_string()))
    else:
        return column
    return pc.if_else(among, pa.scalar(None, column.type), column)


def _whole_as_integers(numbers: pa.ChunkedArray, texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """What a CSV reader would make of these texts: integers where none has a point."""
    has_point = pc.any(pc.match_substring_regex(texts, r"[.e]")).as_py()
    return numbers if has_point else texts.cast(pa.int64())


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
