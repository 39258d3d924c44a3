"""A pretrained encoder of texts: a folder of `transformers` with its tokenizer, read from disk alone."""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polytask.errors import UserError
from polytask.inputs.sequence_padding import PADDING, cut, padded
from polytask.inputs.sequence_pooling import MeanPooling

CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model.safetensors"


class _Tokenizer(Protocol):
    def encode_batch(self, texts: list[str], /) -> Sequence["_Encoding"]: ...


class _Encoding(Protocol):
    @property
    def ids(self) -> list[int]: ...
    @property
    def overflowing(self) -> Sequence[object]: ...


class Pieces(NamedTuple):
    """Ids of word pieces (B, L), 0 behind a text's end and the tokenizer's id plus one else."""

    ids_BL: Tensor
    num_cut: int


def require_transformers() -> None:
    """UserError with the command that installs what reads checkpoints."""
    try:
        import tokenizers  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        is_absent = error.name in ("tokenizers", "transformers")
        what = "not installed" if is_absent else f"installed, but cannot be loaded ({error})"
        raise UserError(
            f"pretrained encoders are read by transformers and tokenizers, which are {what}: "
            "pip install 'polytask[text]'"
        ) from error


class Checkpoint:
    """A folder with config.json, tokenizer.json and model.safetensors; UserError where it lacks one."""

    def __init__(self, folder: Path) -> None:
        require_transformers()
        lacking = [name for name in (CONFIG, TOKENIZER, WEIGHTS) if not (folder / name).is_file()]
        if lacking:
            what = (
                "there is no such folder"
                if not folder.is_dir()
                else f"it lacks {', '.join(lacking)}"
            )
            raise UserError(
                f"checkpoint: {folder}: {what}; a folder that transformers' save_pretrained writes is "
                "due, with the tokenizer of the model"
            )
        self.folder = folder
        self.width, self.num_layers, self.longest = _sizes(folder / CONFIG)

    def content(self) -> str:
        """A checksum of the weights, the tokenizer and the configuration."""
        digest = hashlib.sha256()
        for name in (CONFIG, TOKENIZER, WEIGHTS):
            file = self.folder / name
            about = file.stat()
            digest.update(_checksum(file, about.st_size, about.st_mtime_ns))
        return digest.hexdigest()

    def pieces(self, texts: Sequence[str], longest: int) -> Pieces:
        """The word pieces of texts, with the tokenizer's own marks; at most `longest` of each."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.folder / TOKENIZER))
        tokenizer.no_padding()
        tokenizer.enable_truncation(longest)
        found = _encoded(tokenizer, texts)
        lengths_B = np.array([len(each.ids) for each in found], dtype=np.int64)
        flat: NDArray[np.int64] = np.array([i for each in found for i in each.ids], dtype=np.int64)
        ids_BL = torch.from_numpy(padded(flat + 1, lengths_B, longest))
        return Pieces(ids_BL, sum(bool(each.overflowing) for each in found))

    def model(self, *, with_weights: bool = True) -> nn.Module:
        """The network of `transformers`, without its pooler."""
        import transformers

        transformers.utils.logging.disable_progress_bar()
        options = {"local_files_only": True}
        made: nn.Module
        if with_weights:
            made = transformers.AutoModel.from_pretrained(self.folder, **options)
        else:
            config = transformers.AutoConfig.from_pretrained(self.folder, **options)
            made = transformers.AutoModel.from_config(config)
        return made.float()


class CheckpointEncoder(nn.Module):
    """The mean of a checkpoint's last states over the pieces of a text, normalised to length and mean.

    The embeddings and the first `num_frozen` layers stay as they are; all of it where that is None.

    **Shape** ids (B, L) of `Checkpoint.pieces` -> (B, out_features).
    """

    def __init__(self, model: nn.Module, *, width: int, num_frozen: int | None) -> None:
        super().__init__()
        self.model, self.out_features = model, width
        self.mean = MeanPooling(width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        for parameter in _frozen_of(model, num_frozen):
            parameter.requires_grad_(False)
        # The pooler reads the first piece alone, and nothing of ours reads the pooler.
        for name, parameter in model.named_parameters():
            if name.startswith("pooler."):
                parameter.requires_grad_(False)

    def forward(self, ids_BL: Tensor) -> Tensor:
        ids_BL = cut(ids_BL)
        is_piece_BL = ids_BL != PADDING
        states = self.model(
            input_ids=(ids_BL - 1).clamp(min=0).long(), attention_mask=is_piece_BL.long()
        )
        pooled_BH: Tensor = self.norm(self.mean(states.last_hidden_state, is_piece_BL))
        return pooled_BH


def _frozen_of(model: nn.Module, num_frozen: int | None) -> list[nn.Parameter]:
    if num_frozen is None:
        return list(model.parameters())
    if num_frozen == 0:
        return []
    layers = _layers_of(model)
    trained = {id(p) for layer in layers[num_frozen:] for p in layer.parameters()}
    return [parameter for parameter in model.parameters() if id(parameter) not in trained]


def _layers_of(model: nn.Module) -> list[nn.Module]:
    """The layers of a transformer: its longest list of modules."""
    lists = [list(module) for module in model.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len, default=[])


def _encoded(tokenizer: _Tokenizer, texts: Sequence[str]) -> Sequence[_Encoding]:
    return tokenizer.encode_batch(list(texts))


def _sizes(config: Path) -> tuple[int, int, int]:
    """Width, number of layers and longest text."""
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
        width, layers = values["hidden_size"], values["num_hidden_layers"]
        return int(width), int(layers), int(values.get("max_position_embeddings", 512))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"checkpoint: {config} names no hidden_size and num_hidden_layers ({error!r}): an encoder of "
            "the BERT type is due"
        ) from error


@lru_cache(maxsize=32)
def _checksum(file: Path, size: int, changed_ns: int) -> bytes:
    """Of a file as it was then; size and time are only there to forget it."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()
