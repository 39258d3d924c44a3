"""Codes of a text table as numbers where no spelling is lost: 7, 07 and 007 are three codes."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from polytask.data.missing_words import USUAL

_LARGEST_SIGNED = 2.0**63
_EXACT_DIGITS = 15


def narrowed(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """A code column as integers, or as floats, where different texts stay different; else as text."""
    try:
        # Most columns come this way, and fast: nothing is missing, nothing padded.
        numbers = texts.cast(pa.int64())
    except pa.ArrowInvalid:
        return _with_missing_or_long(texts)
    return texts if _is_padded(texts) else numbers


def narrowed_float(
    numbers: pa.ChunkedArray, read_text: Callable[[], pa.ChunkedArray]
) -> pa.ChunkedArray:
    """Floats of 2^63 and more may be whole numbers of many digits: uint64, or text where those end."""
    if (pc.max(numbers).as_py() or 0) < _LARGEST_SIGNED:
        return numbers
    texts = pc.utf8_trim_whitespace(read_text())
    texts = pc.if_else(_is_missing(texts), pa.scalar(None, texts.type), texts)
    if not pc.all(pc.match_substring_regex(texts, r"^[0-9]+$")).as_py():
        return numbers
    try:
        return texts.cast(pa.uint64())
    except pa.ArrowInvalid:
        return texts


def _is_padded(texts: pa.ChunkedArray) -> bool:
    """Whether a whole number has a zero in front."""
    zero = pc.starts_with(texts, "0")
    if not pc.any(zero).as_py():
        return False
    return bool(pc.any(pc.and_(zero, pc.greater(pc.binary_length(texts), 1))).as_py())


def _with_missing_or_long(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    trimmed = pc.utf8_trim_whitespace(texts)
    present = pc.if_else(_is_missing(trimmed), pa.scalar(None, texts.type), trimmed)
    for kind in (pa.int64(), pa.uint64(), pa.float64()):
        try:
            numbers = present.cast(kind)
        except pa.ArrowInvalid:
            continue
        lost = pc.count_distinct(numbers).as_py() < pc.count_distinct(present).as_py()
        return texts if lost else numbers
    return texts


def _is_missing(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(texts, value_set=pa.array(USUAL, texts.type))
