"""Texts: words or characters of the training rows, and a small network that reads them in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from polytask.columns.value_list import ValueList
from polytask.columns.values import told
from polytask.errors import UserError
from polytask.inputs.input import Feature, Input
from polytask.inputs.sequence_encoder import PaddedEmbedding, PaddedEncoder, carry_embeddings
from polytask.inputs.sequence_padding import lengths_of, padded
from polytask.inputs.sequence_pooling import KERNEL_WIDTHS, Pooling, PoolingName
from polytask.inputs.text_growth import common_words, grown_vectors, grown_words
from polytask.inputs.text_sharing import SharedEncoders, Sharing
from polytask.inputs.text_tokens import Tokens, Unit, tokens_of
from polytask.inputs.text_vectors import VectorFile, WordVectors
from polytask.inputs.vocabulary import FIRST_ID, Vocabulary

MOST_WORDS = 50_000
_LONGEST: Mapping[Unit, int] = {"words": 256, "characters": 1024}
_EMBEDDING_DIM = 64
_WIDTH = 96


@dataclass(frozen=True)
class Text(Input):
    """Columns of text, each with an encoder of its own or sharing one (see `Sharing`).

    `vocabularies`, and `vectors` where a file of them was given, are those of the encoders: id 0 is
    padding, 1 a word that is unseen or rare. `longest` is the number of words that are read of a text.

    >>> table = pa.table({"title": ["The cat sat", "the dog", None]})
    >>> titles = Text.fit(table, ["title"], min_count=1)
    >>> titles.encode(table).tolist()
    [[[2, 3, 5]], [[2, 4, 0]], [[0, 0, 0]]]
    """

    unit: Unit
    longest: int
    sharing: Sharing
    vocabularies: tuple[Vocabulary, ...]
    vectors: tuple[WordVectors, ...]
    embedding_dim: int
    freeze: bool
    pooling: Pooling
    max_words: int = MOST_WORDS

    def __post_init__(self) -> None:
        if sum(map(len, self.sharing.groups)) != len(self.columns):
            raise UserError(f"{self.columns=}, but {self.sharing=}")
        if len(self.vocabularies) != len(self.sharing.groups):
            raise UserError(f"{len(self.vocabularies)} vocabularies for {self.sharing.groups}")
        if self.longest < 1 or self.embedding_dim < 1:
            raise UserError(f"{self.longest=} and {self.embedding_dim=} must be positive")
        _check_vectors(self.vectors, self.vocabularies)

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        columns: Sequence[str],
        *,
        encoder: PoolingName = "cnn",
        unit: Unit = "words",
        min_count: int = 2,
        max_words: int = MOST_WORDS,
        max_length: int | None = None,
        embedding_dim: int | None = None,
        width: int = _WIDTH,
        num_layers: int = 1,
        num_heads: int = 4,
        kernel_widths: tuple[int, ...] = KERNEL_WIDTHS,
        dropout: float = 0.0,
        shared: bool | tuple[str, ...] = False,
        pair: tuple[str, ...] = (),
        vectors: str | None = None,
        freeze: bool = False,
    ) -> Self:
        """A vocabulary for each encoder, and how long the longest training text is.

        `max_length` bounds that: the words beyond it are not read. `vectors` names an .npz of word
        vectors; with `freeze` they stay as they are, and all words of the file are known, also those
        of no training row. UserErrors: a column that is no text, options that do not fit.
        """
        for count in (min_count, max_words, max_length or 1):
            if count < 1:
                raise UserError(f"{min_count=}, {max_words=} and {max_length=} must be positive")
        sharing = Sharing.of(columns, shared=shared, pair=pair)
        file = None if vectors is None else VectorFile(Path(vectors))
        if freeze and file is None:
            raise UserError(
                "freeze: there are no vectors that could stay as they are: name a file of them"
            )
        if file is not None and embedding_dim not in (None, file.dim):
            raise UserError(
                f"embedding_dim={embedding_dim}, but the vectors have {file.dim} numbers"
            )
        found = [tokens_of(table[name], unit, f"column {name!r}") for name in columns]
        vocabularies = [
            _vocabulary([found[c] for c in group], min_count=min_count, most=max_words)
            for group in sharing.groups
        ]
        if file is not None and freeze:
            vocabularies = [_with_words_of(file, each, max_words) for each in vocabularies]
        longest = max(int(each.lengths_B.max(initial=1)) for each in found)
        pooling = Pooling(encoder, width, num_layers, num_heads, tuple(kernel_widths), dropout)
        dim = file.dim if file is not None else embedding_dim or _EMBEDDING_DIM
        return cls(
            tuple(columns),
            unit,
            min(longest, max_length or _LONGEST[unit]),
            sharing,
            tuple(vocabularies),
            () if file is None else tuple(file.of(_words(each)) for each in vocabularies),
            dim,
            freeze,
            pooling,
            max_words,
        )

    def encode(self, table: pa.Table) -> Tensor:
        """Ids (B, C, longest), int32: 0 behind a text's end, 1 a word that is unseen."""
        ids_BCL = np.zeros((table.num_rows, len(self.columns), self.longest), dtype=np.int32)
        for group, vocabulary in zip(self.sharing.groups, self.vocabularies):
            for c in group:
                what = f"column {self.columns[c]!r}"
                found = tokens_of(table[self.columns[c]], self.unit, what)
                ids_N = vocabulary.encode(pa.chunked_array([found.tokens_N]), what)
                ids_BCL[:, c] = padded(ids_N, found.lengths_B, self.longest)
        return torch.from_numpy(ids_BCL)

    def module(self) -> nn.Module:
        return SharedEncoders(
            [self._encoder(e) for e in range(len(self.vocabularies))], self.sharing
        )

    def features(self) -> list[Feature]:
        width = self.pooling.out_features(self.embedding_dim)
        return self.sharing.features(self.columns, width, f"text, {self.pooling.name}")

    def known_words(self) -> dict[str, list[str]]:
        """No value of its own: only that the columns are read as text."""
        return {name: [] for name in self.columns}

    def lengths(self, encoded: Tensor) -> Tensor | None:
        return None if self.pooling.name == "mean" else lengths_of(encoded).amax(dim=1)

    def notes(self, table: pa.Table) -> list[str]:
        """Empty texts, and those that are longer than what is read of them, by column."""
        noted = []
        for name in self.columns:
            lengths_B = tokens_of(table[name], self.unit, f"column {name!r}").lengths_B
            num_empty = int((lengths_B == 0).sum())
            num_cut = int((lengths_B > self.longest).sum())
            if num_empty:
                noted.append(f"{name}: {told(num_empty, 'text')} without a word")
            if num_cut:
                noted.append(
                    f"{name}: of {told(num_cut, 'text')} only the first {self.longest:,} {self.unit} are "
                    f"read (the longest has {int(lengths_B.max()):,})"
                )
        return noted

    def goes_on(self, later: Input) -> bool:
        """Where columns, encoders, the unit and what kind of vectors words begin with are the same."""
        assert isinstance(later, Text)
        return _sort_of(later) == _sort_of(self)

    def grown(self, later: Input) -> Input:
        """With the words that are new; of more than `max_words` the commonest of all runs' words stay."""
        assert isinstance(later, Text)
        if not self.goes_on(later):
            return later
        grown = tuple(
            grown_words(mine, new, later.max_words)
            for mine, new in zip(self.vocabularies, later.vocabularies)
        )
        vectors = grown_vectors(
            grown, (self.vocabularies, self.vectors), (later.vocabularies, later.vectors)
        )
        return replace(self, vocabularies=grown, vectors=vectors, max_words=later.max_words)

    @torch.no_grad()
    def carry(self, module: nn.Module, earlier: Input, earlier_module: nn.Module) -> int:
        """The vectors of words that both runs know, and what else is of the same features."""
        if not isinstance(earlier, Text) or earlier.features() != self.features():
            return 0
        return carry_embeddings(module, earlier_module, self.vocabularies, earlier.vocabularies)

    def _encoder(self, place: int) -> PaddedEncoder:
        embeddings = PaddedEmbedding(self.vocabularies[place].num_ids, self.embedding_dim)
        if self.vectors and not embeddings.weight.is_meta:
            self.vectors[place].fill(embeddings.weight[FIRST_ID:])
        embeddings.weight.requires_grad_(not self.freeze)
        return PaddedEncoder(embeddings, self.pooling, longest=self.longest)


def _sort_of(text: Text) -> tuple[object, ...]:
    """What two texts have in common of which the one can go on as the other."""
    dims = tuple(each.dim for each in text.vectors)
    return text.columns, text.unit, text.sharing, dims, text.freeze


def _vocabulary(found: Sequence[Tokens], *, min_count: int, most: int) -> Vocabulary:
    tokens = pa.chunked_array([each.tokens_N for each in found])
    return common_words(tokens, "the texts", min_count=min_count, most=most)


def _with_words_of(file: VectorFile, vocabulary: Vocabulary, most: int) -> Vocabulary:
    words = _words(vocabulary)
    more = file.words_beside(words, most - len(words))
    return replace(vocabulary, values=ValueList.of((*words, *more)))


def _words(vocabulary: Vocabulary) -> tuple[str, ...]:
    return tuple(str(value) for value in vocabulary.values)


def _check_vectors(vectors: Sequence[WordVectors], vocabularies: Sequence[Vocabulary]) -> None:
    for each, vocabulary in zip(vectors, vocabularies, strict=bool(vectors)):
        if len(each.matrix()) != len(vocabulary.values):
            raise UserError("there is not one word vector for each word")
