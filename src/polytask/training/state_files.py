"""Tensors and named facts on disk: there as a whole, or known to be damaged."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from polytask.errors import UserError

TENSORS = "tensors.safetensors"
FACTS = "facts.json"

Facts: TypeAlias = Mapping[str, Mapping[str, str]]


class DamagedStateError(Exception):
    """What lies there cannot be trusted, and why."""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Tensors by name, and plain facts: groups of texts by name."""

    tensors: Mapping[str, Tensor]
    facts: Facts


def write_state(path: Path, state: State) -> None:
    """A folder of two files. It is written beside, brought to the disk and then renamed."""
    part = path.with_name(f"{path.name}.part")
    remove(part)
    part.mkdir(parents=True)
    tensors = apart(state.tensors)
    try:
        save_file(tensors, part / TENSORS)
    except SafetensorError as error:
        raise UserError(f"{part}: the checkpoint cannot be written: {error}") from error
    facts = {**state.facts, "sha256": {TENSORS: _checksum_of_file(part / TENSORS)}}
    text = json.dumps({"sha256": _checksum(facts), "facts": facts}, indent=1)
    (part / FACTS).write_text(text, encoding="utf-8")
    for name in (TENSORS, FACTS):
        _to_disk(part / name)
    remove(path)
    part.rename(path)


def apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, each in memory of its own: safetensors refuses tied weights.

    Where they are read back into the module, the tied names receive equal values and stay tied.
    """
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if place in seen else tensor.contiguous()
        seen.add(place)
    return found


def read_state(path: Path) -> State:
    """What was written, on the CPU; DamagedStateError where a byte of it is missing or another."""
    try:
        record = json.loads((path / FACTS).read_text(encoding="utf-8"))
        facts: dict[str, dict[str, str]] = record["facts"]
        if record["sha256"] != _checksum(facts):
            raise DamagedStateError(f"the checksum of {FACTS} is another")
        if facts.pop("sha256")[TENSORS] != _checksum_of_file(path / TENSORS):
            raise DamagedStateError(f"the checksum of {TENSORS} is another")
        return State(load_file(path / TENSORS), facts)
    except FileNotFoundError as error:
        raise DamagedStateError(f"{Path(error.filename).name} is missing") from error
    except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
        raise DamagedStateError(f"{FACTS} or {TENSORS} cannot be read: {error}") from error


def remove(path: Path) -> None:
    """Delete a folder with all that is in it, if it is there."""
    if path.exists():
        shutil.rmtree(path)


def _checksum_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checksum(facts: Facts) -> str:
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _to_disk(path: Path) -> None:
    """Wait until the disk has the file: a rename must not overtake what it renames."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
