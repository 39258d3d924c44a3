"""What a frozen encoder makes of texts, computed once and kept on disk by content."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from polytask.files.writing import CannotWriteError, make_folder, written_whole
from polytask.inputs.sequence_padding import lengths_of
from polytask.inputs.text_checkpoint import Checkpoint, CheckpointEncoder

_BATCH = 64
_FEWEST_KEPT = 256
"""So few texts are computed anew sooner than they are worth a file."""


def features_of(
    texts: Sequence[str], checkpoint: Checkpoint, *, longest: int, cache: Path | None
) -> Tensor:
    """The vectors (B, width) of texts, float32; equal texts are computed once.

    They are read from the folder `cache` where the same texts, weights and tokenizer were seen before.
    """
    different = sorted(set(texts))
    place = {text: row for row, text in enumerate(different)}
    rows = torch.tensor([place[text] for text in texts], dtype=torch.int64)
    file = None
    if cache is not None and len(different) >= _FEWEST_KEPT:
        file = cache / f"{_key(different, checkpoint, longest)}.safetensors"
    vectors_VH = _kept(file)
    if vectors_VH is None:
        vectors_VH = _computed(different, checkpoint, longest)
        _keep(file, vectors_VH)
    return vectors_VH[rows]


def usual_cache() -> Path:
    """Where features are kept unless a folder is named."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "polytask" / "text"


@torch.no_grad()
def _computed(texts: Sequence[str], checkpoint: Checkpoint, longest: int) -> Tensor:
    """In batches of texts of like length."""
    ids_BL = checkpoint.pieces(texts, longest).ids_BL
    encoder = CheckpointEncoder(checkpoint.model(), width=checkpoint.width, num_frozen=None).eval()
    order = lengths_of(ids_BL).argsort(stable=True)
    found_VH = torch.empty(len(texts), checkpoint.width)
    for rows in torch.split(order, _BATCH):
        found_VH[rows] = encoder(ids_BL[rows])
    return found_VH


def _key(texts: Sequence[str], checkpoint: Checkpoint, longest: int) -> str:
    """Of the texts, the weights, the tokenizer, and how many pieces are read."""
    digest = hashlib.sha256(f"{checkpoint.content()} {longest}".encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()


def _kept(file: Path | None) -> Tensor | None:
    if file is None or not file.is_file():
        return None
    try:
        return load(file.read_bytes())["features"]
    except (OSError, SafetensorError, KeyError):
        return None


def _keep(file: Path | None, vectors_VH: Tensor) -> None:
    """A cache that cannot be written is none, and no reason to stop."""
    if file is None:
        return
    try:
        make_folder(file.parent)
        with written_whole(file) as opened:
            opened.write(save({"features": vectors_VH}))
    except CannotWriteError:
        return
