"""Words of texts that are counted, and vocabularies of them that grow from run to run."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from polytask.columns.values import coded, type_name
from polytask.inputs.text_vectors import WordVectors
from polytask.inputs.vocabulary import Vocabulary

Known: TypeAlias = tuple[Sequence[Vocabulary], Sequence[WordVectors]]
"""Vocabularies, and a vector for each of their words, or none of any."""


def common_words(words_N: pa.ChunkedArray, what: str, *, min_count: int, most: int) -> Vocabulary:
    """The commonest words, with their counts.

    >>> found = common_words(pa.chunked_array([["a", "b", "b", "c"]]), "texts", min_count=1, most=2)
    >>> found.values, found.counts.array().tolist()
    (('b', 'a'), [2, 1])
    """
    counts = coded(words_N, what).tally()
    dtype = type_name(words_N.type)
    found = Vocabulary.of_counts(dtype, counts, min_count=min_count, max_ids=most)
    return found.counted_with(counts, what)


def grown_words(mine: Vocabulary, later: Vocabulary, most: int) -> Vocabulary:
    """The words of both, or the commonest by the counts of both. A word that is too rare in one for an id counts 0 there."""
    if later.counts is None:
        return mine.grown(later).bounded(most)
    numbers = later.counts.array()
    rows = pa.table({"value": later.values.array[: len(numbers)], "count": numbers})
    return mine.grown(later).counted_with(rows, "the words").bounded(most)


def grown_vectors(
    grown: Sequence[Vocabulary], mine: Known, later: Known
) -> tuple[WordVectors, ...]:
    """The vector of each word, the own one where both have one; both have vectors of one width, or none."""
    found = []
    for vocabulary, known, vectors, new, their_vectors in zip(grown, *mine, *later):
        rows = np.full((len(vocabulary.values), vectors.dim), np.nan, dtype=np.float32)
        for words, each in ((new, their_vectors), (known, vectors)):
            places = words.values.lookup.places(vocabulary.values.array)
            is_known = places >= 0
            rows[is_known] = each.matrix()[places[is_known]]
        found.append(WordVectors.of(rows))
    return tuple(found)
