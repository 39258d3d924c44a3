"""A column of sentences as their words, one sentence after another: a list of them, or a text that spaces part."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.columns.values import is_text, value_type
from polytask.errors import UserError


class Words(NamedTuple):
    """What stands at each word of all rows, null where nothing is known of it, and how many words each row has."""

    values_N: pa.ChunkedArray
    lengths_B: NDArray[np.int64]


def is_list(dtype: pa.DataType) -> bool:
    """Whether the rows of a column are lists."""
    return bool(
        pa.types.is_list(dtype)
        or pa.types.is_large_list(dtype)
        or pa.types.is_fixed_size_list(dtype)
    )


def words_of(column: pa.ChunkedArray, what: str) -> Words:
    """The entries of lists, or the words of texts between spaces; a missing row has none.

    UserError for a column that is neither.

    >>> words_of(pa.chunked_array([["the  cat", "", None]]), "column 'text'").lengths_B.tolist()
    [2, 0, 0]
    >>> words_of(pa.chunked_array([[["DET", None], []]]), "column 'tag'").values_N.to_pylist()
    ['DET', None]
    """
    if is_text(value_type(column.type)):
        # Arrow would make an empty word of an empty text.
        text = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
        text = pc.if_else(pc.equal(text, ""), pa.scalar(None, text.type), text)
        column = pc.utf8_split_whitespace(text)
    if pa.types.is_null(column.type):
        return Words(pa.chunked_array([pa.nulls(0)]), np.zeros(len(column), dtype=np.int64))
    if not is_list(column.type):
        raise UserError(
            f"{what} holds {column.type}: a list with an entry for each word is due, or a text whose "
            "words spaces part"
        )
    lengths_B = pc.list_value_length(column).fill_null(0).to_numpy().astype(np.int64)
    values_N = pc.list_flatten(column)
    if isinstance(values_N, pa.Array):
        values_N = pa.chunked_array([values_N])
    return Words(values_N, lengths_B)
