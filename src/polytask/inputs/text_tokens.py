"""Text as words or characters: Arrow and numpy do it for all rows at once."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.columns.values import is_text, value_type
from polytask.errors import UserError

Unit = Literal["words", "characters"]

_CONTRACTED = r"(\p{L})(n't|'(?:s|re|ve|ll|d|m))\b"
_WORD = (
    r"(n't\b|'(?:s|re|ve|ll|d|m)\b"  # The ends of contractions.
    r"|\p{N}+(?:[.,]\p{N}+)*|[\p{L}\p{M}\p{N}]+"  # A number, a word.
    r"|[^\s\p{L}\p{M}\p{N}])"  # Any other sign alone.
)


class Tokens(NamedTuple):
    """The tokens of all rows, one row after another, and how many each row has."""

    tokens_N: pa.Array
    lengths_B: NDArray[np.int64]


def tokens_of(column: pa.ChunkedArray, unit: Unit, what: str) -> Tokens:
    """The column's words or characters; a missing text has none. UserError for what is no text.

    Words are in lower case; signs are words of their own, and English contractions are parted as in
    the Penn Treebank (do n't, it 's), as they are in published word vectors.

    >>> tokens_of(pa.chunked_array([["Isn't it 3.5?", None]]), "words", "").tokens_N.to_pylist()
    ['is', "n't", 'it', '3.5', '?']
    """
    return _PARTED[unit](pc.utf8_lower(texts_of(column, what)))


def texts_of(column: pa.ChunkedArray, what: str) -> pa.Array:
    """The column as large_string, empty where missing; UserError for what is no text and no number.

    >>> texts_of(pa.chunked_array([["a", None]]), "").to_pylist()
    ['a', '']
    """
    dtype = value_type(column.type)
    is_plain = is_text(dtype) or pa.types.is_null(dtype) or pa.types.is_primitive(dtype)
    if not is_plain:
        raise UserError(f"{what} holds {column.type}, which is no text")
    return column.cast(dtype).cast(pa.large_string()).fill_null("").combine_chunks()


def _words(texts: pa.Array) -> Tokens:
    spaced = pc.replace_substring_regex(texts, _CONTRACTED, r"\1 \2")
    spaced = pc.replace_substring_regex(spaced, _WORD, r" \1 ")
    parted = pc.utf8_split_whitespace(spaced)
    tokens_N = parted.flatten()
    lengths_B = _lengths(parted)
    # Space at either end of a row leaves an empty piece there.
    is_word_N = pc.not_equal(tokens_N, "").to_numpy(zero_copy_only=False)
    rows_N = np.repeat(np.arange(len(lengths_B)), lengths_B)
    counts_B = np.bincount(rows_N[is_word_N], minlength=len(lengths_B)).astype(np.int64)
    return Tokens(tokens_N.filter(pa.array(is_word_N)), counts_B)


def _characters(texts: pa.Array) -> Tokens:
    joined = "".join(texts.to_pylist())
    codes_N = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32)
    different, places_N = np.unique(codes_N, return_inverse=True)
    signs = pa.array([chr(code) for code in different], pa.large_string())
    tokens_N = signs.take(pa.array(places_N.astype(np.int64)))
    return Tokens(tokens_N, pc.utf8_length(texts).to_numpy().astype(np.int64))


def _lengths(parted: pa.Array) -> NDArray[np.int64]:
    return np.asarray(pc.list_value_length(parted).to_numpy(zero_copy_only=False), dtype=np.int64)


_PARTED: Mapping[Unit, Callable[[pa.Array], Tokens]] = {"words": _words, "characters": _characters}
