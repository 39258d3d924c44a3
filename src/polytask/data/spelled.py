"""Codes of a text table as numbers where no spelling is lost: 7, 07 and 007 are three codes."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from polytask.data.missing_words import USUAL

_LARGEST_SIGNED = 2.0**63
_EXACT_DIGITS = 15


def narrowed(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """A code column as integers, or as floats, where different texts stay different; else as text."""
    empty = pc.equal(texts, "")
    present = pc.if_else(empty, pa.scalar(None, texts.type), texts)
    if not pc.any(empty).as_py():
        present = texts
    try:
        numbers = present.cast(pa.int64())
    except pa.ArrowInvalid:
        return _as_long_or_float(texts)
    return texts if _is_padded(present) else numbers


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
    """Whether a whole number has a zero or a plus sign in front."""
    zero = pc.and_(pc.starts_with(texts, "0"), pc.greater(pc.binary_length(texts), 1))
    return bool(pc.any(zero).as_py() or pc.any(pc.starts_with(texts, "+")).as_py())


def _as_long_or_float(texts: pa.ChunkedArray) -> pa.ChunkedArray:
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
