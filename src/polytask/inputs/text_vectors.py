"""Published word vectors as what a text's embeddings begin with."""

import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.columns.packed import PackedArray
from polytask.errors import UserError


@dataclass(frozen=True, slots=True)
class WordVectors:
    """A vector for each word of a vocabulary; NaN where the file had none.

    They stand in the run itself: the file is not needed again.
    """

    packed: PackedArray

    def __post_init__(self) -> None:
        if self.packed.dtype not in ("float16", "float32") or len(self.packed.shape) != 2:
            raise UserError(f"word vectors of {self.packed.dtype} and shape {self.packed.shape}")

    @classmethod
    def of(cls, vectors_VK: NDArray[np.floating]) -> "WordVectors":
        """The same numbers; float64 is rounded to float32."""
        is_half = vectors_VK.dtype == np.float16
        return cls(PackedArray.of(vectors_VK if is_half else vectors_VK.astype(np.float32)))

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return self.packed.shape[1]

    def matrix(self) -> NDArray[np.float32]:
        """(V, dim)."""
        return self.packed.array().astype(np.float32)

    @torch.no_grad()
    def fill(self, rows_VK: Tensor) -> None:
        """Write the vectors; a word that has none keeps a random one, of the same spread (Kim 2014)."""
        known_VK = torch.from_numpy(self.matrix())
        has_vector_V = known_VK.isfinite().all(dim=1)
        if not has_vector_V.any():
            return
        scale = known_VK[has_vector_V].std() / rows_VK.std().clamp(min=1e-6)
        drawn_VK = rows_VK.cpu() * scale
        rows_VK.copy_(torch.where(has_vector_V.unsqueeze(1), known_VK, drawn_VK))


class VectorFile:
    """An .npz with `words` and `vectors`, a row a word, the most frequent word first."""

    def __init__(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as file:
                words, self.vectors_VK = file["words"], file["vectors"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"vectors: {path} cannot be read ({error}): an .npz with `words` (texts) and "
                "`vectors` (a row a word) is due"
            ) from error
        is_matrix = self.vectors_VK.ndim == 2 and self.vectors_VK.dtype.kind == "f"
        if not is_matrix or words.dtype.kind != "U" or len(words) != len(self.vectors_VK):
            raise UserError(
                f"vectors: {path} has {words.dtype} words and {self.vectors_VK.dtype} vectors of the "
                f"shape {self.vectors_VK.shape}: texts and a matrix with a row a word are due"
            )
        self.places = {str(word): place for place, word in enumerate(words)}

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return int(self.vectors_VK.shape[1])

    def words_beside(self, words: Collection[str], most: int) -> list[str]:
        """The most frequent words of the file that are not among others, `most` at most."""
        known = set(words)
        return [word for word in self.places if word not in known][: max(most, 0)]

    def of(self, words: Sequence[str]) -> WordVectors:
        """The vectors of these words."""
        missing = np.full(self.dim, np.nan, dtype=self.vectors_VK.dtype)
        rows = [
            self.vectors_VK[self.places[word]] if word in self.places else missing for word in words
        ]
        return WordVectors.of(np.stack(rows) if rows else np.empty((0, self.dim), np.float32))
