"""Named tensors <-> the format of safetensors: no code in it, sizes known before memory is taken."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from polytask.errors import UserError
from polytask.files.reading import DamagedFileError
from polytask.files.writing import written_whole

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.complex64: "C64",
    torch.uint16: "U16",
    torch.uint32: "U32",
    torch.uint64: "U64",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
}
_ALIGNMENT = 8


class Layout(NamedTuple):
    """Of a tensor what its file says at the beginning."""

    dtype: str
    shape: tuple[int, ...]


def layouts_of(tensors: Mapping[str, Tensor]) -> dict[str, Layout]:
    """Of tensors in memory, or on the meta device, what `read_layouts` says of a file."""
    return {
        name: Layout(_DTYPES.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape))
        for name, tensor in tensors.items()
    }


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None
) -> None:
    """Write all, or nothing, tensor by tensor; tied ones each for themselves.

    safetensors' own writer makes a temporary file under a name of its own, which a kill leaves, and
    which nobody but its owner may read.
    """
    # Larger numbers first, so that each tensor begins at a multiple of its own size.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, object] = {"__metadata__": dict(notes)} if notes else {}
    start = 0
    for name, tensor in ordered:
        end = start + tensor.numel() * tensor.element_size()
        if tensor.dtype not in _DTYPES:
            raise UserError(f"{path}: {name} is of {tensor.dtype}, which safetensors does not hold")
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with written_whole(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, tensor in ordered:
            file.write(_bytes(tensor))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors, on the CPU; DamagedFileError where the file is not whole."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise DamagedFileError(f"{path}: damaged weights: {error}") from error


def read_layouts(path: Path) -> tuple[dict[str, Layout], dict[str, str]]:
    """What the file says of its tensors, and its notes; no tensor is read."""
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            layouts = {
                name: Layout(part.get_dtype(), tuple(part.get_shape()))
                for name, part in slices.items()
            }
            return layouts, dict(file.metadata() or {})
    except SafetensorError as error:
        raise DamagedFileError(f"{path}: damaged weights: {error}") from error


def differences(found: Mapping[str, Layout], due: Mapping[str, Layout]) -> list[str]:
    """A line for each tensor that is missing, unknown, or of another type or shape."""
    return [
        f"{name}: {_words(found.get(name))} in the file, {_words(due.get(name))} in the model"
        for name in dict.fromkeys([*due, *found])
        if found.get(name) != due.get(name)
    ]


def _words(layout: Layout | None) -> str:
    return "none" if layout is None else f"{layout.dtype} {list(layout.shape)}"


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
