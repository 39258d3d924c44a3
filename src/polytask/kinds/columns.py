"""Label columns as they come -> columns that kinds read: missing words, numbers written as text."""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from polytask.columns.values import decoded, is_number, is_text, parsed_numbers, value_type

_MISSING_WORDS = ("", "nan", "na", "n/a", "null", "none", "?", "-")
_NUMBER = r"^[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)(e[-+]?[0-9]+)?$"
"""Without leading zeros: 007 is a name."""
_NO_INTEGER = r"[.e]|[0-9]{19}"
"""With a point, or perhaps beyond 64 bits."""


def label_column(column: pa.ChunkedArray, missing: Collection[str] = ()) -> pa.ChunkedArray:
    """The column with `missing` values as nulls, and with numbers where its texts are all numbers.

    Among numbers the usual words for missing are missing too; among other texts they may be names.

    >>> label_column(pa.chunked_array([["1.0", "nan", "0.0"]])).to_pylist()
    [1.0, None, 0.0]
    """
    column = decoded(column)
    among = pa.array(list(missing), pa.large_string())
    if is_text(value_type(column.type)):
        words = {*_MISSING_WORDS, *map(str.lower, missing)}
        # Judged by the different values alone: most columns of text hold names.
        known = _known(pc.unique(column.drop_null()), words)
        numeric = pc.all(pc.match_substring_regex(known, _NUMBER)).as_py()
        if numeric and known.null_count < len(known):
            known = _known(column, words)
            is_float = pc.any(pc.match_substring_regex(known, _NO_INTEGER)).as_py()
            return known.cast(pa.float64() if is_float else pa.int64())
        if not missing:
            return column
        values = column = column.cast(pa.large_string())
    elif missing and is_number(column.type):
        values, among = column.cast(pa.float64(), safe=False), parsed_numbers(among).drop_null()
    else:
        return column
    return pc.if_else(pc.is_in(values, value_set=among), pa.scalar(None, column.type), column)


def _known(texts: pa.Array | pa.ChunkedArray, words: Collection[str]) -> pa.Array:
    """The texts in lower case, without spaces and plus signs around them; null for words."""
    plain = pc.utf8_lower(pc.utf8_trim_whitespace(texts.cast(pa.string())))
    plain = pc.utf8_ltrim(plain, "+")
    return pc.if_else(pc.is_in(plain, value_set=pa.array(sorted(words))), None, plain)
