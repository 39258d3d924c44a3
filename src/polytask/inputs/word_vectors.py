"""Words one by one: a vector for each word of a sentence, for labels that each word has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from polytask.columns.values import is_text, told, value_type
from polytask.columns.words import Words, words_of
from polytask.errors import UserError
from polytask.inputs.input import Feature, Input
from polytask.inputs.sequence_encoder import PaddedEmbedding, carry_embeddings
from polytask.inputs.sequence_padding import lengths_of, padded
from polytask.inputs.text_growth import common_words, grown_vectors, grown_words
from polytask.inputs.text_vectors import VectorFile, WordVectors
from polytask.inputs.vocabulary import FIRST_ID, UNSEEN_ID, Vocabulary
from polytask.inputs.word_encoder import ContextName, WordEncoder

_MOST_WORDS = 50_000
_WIDTHS = (16, 32, 8)
"""Those of a word's first letters, its last ones, and its shape."""


@dataclass(frozen=True)
class WordInput(Input):
    """One column of sentences, lists of words or texts that spaces part: x has a row for each word.

    A word is an embedding of itself in lower case, of its first two and last three letters, and of its shape
    (Xx: a capital, then small letters), read with the words around it. `vectors`, where a file of them was
    given, are where the words' embeddings begin. All words of a sentence are read, however many.

    >>> table = pa.table({"words": [["The", "cat"], ["the"], []]})
    >>> words = WordInput.fit(table, ["words"], min_count=1)
    >>> words.encode(table)[:, 0].tolist()
    [[2, 3], [2, 0], [0, 0]]
    >>> words.module()(words.encode(table)).shape
    torch.Size([3, 128])
    """

    tables: tuple[Vocabulary, ...]
    vectors: tuple[WordVectors, ...]
    embedding_dim: int
    context: ContextName
    width: int
    num_layers: int
    dropout: float
    max_words: int = _MOST_WORDS

    def __post_init__(self) -> None:
        if len(self.columns) != 1 or len(self.tables) != 1 + len(_WIDTHS):
            raise UserError(f"words: one column is due, but got {', '.join(self.columns)}")
        if min(self.embedding_dim, self.width, self.num_layers) < 1 or not 0 <= self.dropout < 1:
            raise UserError(
                f"sizes must be positive and dropout below 1, but {self.embedding_dim=}, "
                f"{self.width=}, {self.num_layers=}, {self.dropout=}"
            )
        if self.width % 2:
            raise UserError(f"{self.width=} must be even: half is read from either side")
        for each in self.vectors:
            if len(each.matrix()) != len(self.tables[0].values):
                raise UserError("there is not one word vector for each word")

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        columns: Sequence[str],
        *,
        encoder: ContextName = "lstm",
        min_count: int = 2,
        max_words: int = _MOST_WORDS,
        embedding_dim: int | None = None,
        width: int = 128,
        num_layers: int = 1,
        dropout: float = 0.1,
        vectors: str | None = None,
    ) -> Self:
        """Vocabularies of the training words; rarer ones, and those of later tables, are unseen ones.

        `encoder`: how a word sees its neighbours. UserErrors: two columns, no words, options that do not fit.
        """
        if len(columns) != 1:
            raise UserError(f"words: one column is due, but got {', '.join(columns)}")
        if min(min_count, max_words) < 1:
            raise UserError(f"{min_count=} and {max_words=} must be positive")
        found = _words(table, columns[0])
        if not len(found.values_N):
            raise UserError(f"column {columns[0]!r}: no training row has a word")
        tables = [
            common_words(part, "the words", min_count=min_count, most=max_words)
            for part in _parts(found.values_N)
        ]
        file = None if vectors is None else VectorFile(Path(vectors))
        if file is not None and embedding_dim not in (None, file.dim):
            raise UserError(f"{embedding_dim=}, but the vectors have {file.dim} numbers")
        words = tuple(str(value) for value in tables[0].values)
        return cls(
            tuple(columns),
            tuple(tables),
            () if file is None else (file.of(words),),
            file.dim if file is not None else embedding_dim or 64,
            encoder,
            width,
            num_layers,
            dropout,
            max_words,
        )

    def encode(self, table: pa.Table) -> Tensor:
        """Ids (B, 4, L), int32: of the word, its first and last letters and its shape; 0 behind the end."""
        found = _words(table, self.columns[0])
        longest = max(int(found.lengths_B.max(initial=0)), 1)
        ids_BPL = np.zeros((table.num_rows, len(self.tables), longest), dtype=np.int32)
        for p, (part, vocabulary) in enumerate(zip(_parts(found.values_N), self.tables)):
            # A word that is null keeps its place: it is an unseen one.
            ids_N = np.maximum(vocabulary.encode(part, "the words"), UNSEEN_ID)
            ids_BPL[:, p] = padded(ids_N, found.lengths_B, longest)
        return torch.from_numpy(ids_BPL)

    def module(self) -> nn.Module:
        encoder = WordEncoder(
            [each.num_ids for each in self.tables],
            [self.embedding_dim, *_WIDTHS],
            context=self.context,
            width=self.width,
            num_layers=self.num_layers,
            dropout=self.dropout,
        )
        words = encoder.tables[0]
        assert isinstance(words, PaddedEmbedding)
        if self.vectors and not words.weight.is_meta:
            self.vectors[0].fill(words.weight[FIRST_ID:])
        return encoder

    def features(self) -> list[Feature]:
        width = self.embedding_dim + sum(_WIDTHS) if self.context == "none" else self.width
        what = f"word, {self.context}"
        return [Feature(self.columns[0], f"{what} {k + 1} of {width}") for k in range(width)]

    def known_words(self) -> Mapping[str, Sequence[str]]:
        """No value of its own: only that a text is read as text."""
        return {self.columns[0]: []}

    def lengths(self, encoded: Tensor) -> Tensor | None:
        return self.num_words(encoded)

    def num_words(self, encoded: Tensor) -> Tensor | None:
        return lengths_of(encoded[:, 0])

    def notes(self, table: pa.Table) -> list[str]:
        """How many sentences have no word."""
        num_empty = int((_words(table, self.columns[0]).lengths_B == 0).sum())
        return (
            [f"{self.columns[0]}: {told(num_empty, 'sentence')} without a word"]
            if num_empty
            else []
        )

    def goes_on(self, later: Input) -> bool:
        """Where it reads the same column, and both have word vectors of one width, or none."""
        assert isinstance(later, WordInput)
        mine, theirs = ([each.dim for each in one.vectors] for one in (self, later))
        return later.columns == self.columns and theirs == mine

    def grown(self, later: Input) -> Input:
        """With the words, ends and shapes that are new; of more than `max_words` the commonest of all runs' stay."""
        assert isinstance(later, WordInput)
        if not self.goes_on(later):
            return later
        grown = tuple(
            grown_words(mine, new, later.max_words) for mine, new in zip(self.tables, later.tables)
        )
        known, new = ((one.tables[:1], one.vectors) for one in (self, later))
        vectors = grown_vectors(grown[:1], known, new)
        return replace(self, tables=grown, vectors=vectors, max_words=later.max_words)

    @torch.no_grad()
    def carry(self, module: nn.Module, earlier: Input, earlier_module: nn.Module) -> int:
        """The vectors of words that both runs know, and what else is of the same features."""
        if not isinstance(earlier, WordInput) or earlier.features() != self.features():
            return 0
        return carry_embeddings(module, earlier_module, self.tables, earlier.tables)


def _words(table: pa.Table, name: str) -> Words:
    what = f"column {name!r}"
    found = words_of(table[name], what)
    dtype = value_type(found.values_N.type)
    if not (is_text(dtype) or pa.types.is_null(dtype)):
        raise UserError(f"{what} holds lists of {dtype}, which are no words")
    return Words(found.values_N.cast(pa.large_string()), found.lengths_B)


def _parts(words_N: pa.ChunkedArray) -> list[pa.ChunkedArray]:
    """The word in lower case, its first two and last three letters, and its shape."""
    words_N = pc.fill_null(words_N, "")
    lower_N = pc.utf8_lower(words_N)
    shape_N = words_N
    for signs, letter in ((r"\p{Lu}+", "X"), (r"[\p{Ll}\p{Lo}]+", "x"), (r"\p{N}+", "0")):
        shape_N = pc.replace_substring_regex(shape_N, signs, letter)
    ends = (pc.utf8_slice_codeunits(lower_N, 0, 2), pc.utf8_slice_codeunits(lower_N, -3, None))
    return [lower_N, *ends, shape_N]
