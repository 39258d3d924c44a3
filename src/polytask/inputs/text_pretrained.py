"""Texts read by a pretrained encoder: frozen, its features computed once, or trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import torch
from torch import Tensor, nn

from polytask.columns.values import told
from polytask.errors import UserError
from polytask.inputs.input import Feature, Input
from polytask.inputs.sequence_padding import lengths_of
from polytask.inputs.text_checkpoint import Checkpoint, CheckpointEncoder
from polytask.inputs.text_features import features_of, usual_cache
from polytask.inputs.text_sharing import SharedEncoders, Sharing
from polytask.inputs.text_tokens import texts_of


@dataclass(frozen=True)
class PretrainedText(Input):
    """Columns of text through the encoder in the folder `checkpoint`, whose files have the checksum `content`.

    `num_frozen`: None for all of it: a table is then encoded to vectors; else the embeddings and so
    many first layers, or nothing for 0: a table is then encoded to word pieces.
    """

    sharing: Sharing
    checkpoint: str
    content: str
    width: int
    longest: int
    num_frozen: int | None
    cache: str | None

    def __post_init__(self) -> None:
        if sum(map(len, self.sharing.groups)) != len(self.columns):
            raise UserError(f"{self.columns=}, but {self.sharing=}")
        if self.longest < 1 or self.width < 1:
            raise UserError(f"{self.longest=} and {self.width=} must be positive")

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        columns: Sequence[str],
        *,
        checkpoint: str | None = None,
        freeze: bool | int = True,
        max_length: int = 128,
        shared: bool | tuple[str, ...] = True,
        pair: tuple[str, ...] = (),
        cache: str | None = None,
    ) -> Self:
        """`freeze`: true, false, or how many first layers stay; `cache`: a folder for frozen features.

        UserErrors: no such checkpoint, transformers is not installed, a column that is no text.
        """
        if checkpoint is None:
            raise UserError(
                "input pretrained: name the folder of a model: input_options: "
                "{pretrained: {checkpoint: FOLDER}}"
            )
        found = Checkpoint(Path(checkpoint))
        is_whole = freeze is True
        num_frozen = None if is_whole else int(freeze)
        if max_length < 1 or (num_frozen is not None and not 0 <= num_frozen <= found.num_layers):
            raise UserError(
                f"{max_length=} must be positive, and {freeze=} true, false or a number of the "
                f"encoder's {found.num_layers} layers"
            )
        for name in columns:
            texts_of(table[name], f"column {name!r}")
        sharing = Sharing.of(columns, shared=shared, pair=pair)
        longest = min(max_length, found.longest)
        content = found.content()
        return cls(
            *(tuple(columns), sharing, checkpoint, content, found.width, longest, num_frozen, cache)
        )

    def encode(self, table: pa.Table) -> Tensor:
        """Vectors (B, C, width) where the encoder is frozen, else ids of pieces (B, C, longest)."""
        found, columns = self._opened(), []
        for name in self.columns:
            texts = texts_of(table[name], f"column {name!r}").to_pylist()
            if self.num_frozen is None:
                cache = Path(self.cache) if self.cache is not None else usual_cache()
                columns.append(features_of(texts, found, longest=self.longest, cache=cache))
            else:
                columns.append(found.pieces(texts, self.longest).ids_BL)
        return torch.stack(columns, dim=1)

    def module(self) -> nn.Module:
        if self.num_frozen is None:
            return SharedEncoders([nn.Identity() for _ in self.sharing.groups], self.sharing)
        found = self._opened()
        # Of a model that is only tried out no weights are read.
        with_weights = torch.get_default_device().type != "meta"
        encoders = [
            CheckpointEncoder(
                found.model(with_weights=with_weights), width=self.width, num_frozen=self.num_frozen
            )
            for _ in self.sharing.groups
        ]
        return SharedEncoders(encoders, self.sharing)

    def features(self) -> list[Feature]:
        return self.sharing.features(self.columns, self.width, "text, pretrained")

    def known_words(self) -> dict[str, list[str]]:
        """No value of its own: only that the columns are read as text."""
        return {name: [] for name in self.columns}

    def lengths(self, encoded: Tensor) -> Tensor | None:
        return None if self.num_frozen is None else lengths_of(encoded).amax(dim=1)

    def notes(self, table: pa.Table) -> list[str]:
        """Texts that are longer than what is read of them, by column."""
        noted, found = [], self._opened()
        for name in self.columns:
            texts = texts_of(table[name], f"column {name!r}").to_pylist()
            num_cut = found.pieces(texts, self.longest).num_cut
            if num_cut:
                noted.append(
                    f"{name}: of {told(num_cut, 'text')} only the first {self.longest:,} pieces are read"
                )
        return noted

    def _opened(self) -> Checkpoint:
        """The checkpoint that was fitted; UserError where the folder holds another one now."""
        found = Checkpoint(Path(self.checkpoint))
        if found.content() != self.content:
            raise UserError(
                f"checkpoint: the weights or the tokenizer in {self.checkpoint} are not those that this "
                "run was trained with: put those back, or train anew"
            )
        return found
