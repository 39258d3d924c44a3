"""Tensors and named facts on disk: there as a whole, or known to be damaged."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from polytask.errors import UserError
from polytask.files.plain import fresh_part, require_plain
from polytask.files.reading import parse_json, read_text
from polytask.files.writing import act_on, bring_to_disk, make_folder, write_text
from polytask.records.layout import FACTS, TENSORS, remove_state
from polytask.training.tensor_files import read_tensors, write_tensors

Facts: TypeAlias = Mapping[str, Mapping[str, str]]

_MOST_BYTES_OF_FACTS = 1 << 26


class DamagedStateError(Exception):
    """What lies there cannot be trusted, and why."""


class ForeignStateError(DamagedStateError):
    """It is whole, but not of this model."""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Tensors by name, and plain facts: groups of texts by name."""

    tensors: Mapping[str, Tensor]
    facts: Facts


def write_state(path: Path, state: State) -> None:
    """A folder of two files. It is written beside, brought to the disk and then renamed."""
    part = fresh_part(path)
    try:
        make_folder(part, is_fresh=True)
        write_tensors(part / TENSORS, state.tensors)
        facts = {**state.facts, "sha256": {TENSORS: _checksum_of_file(part / TENSORS)}}
        text = json.dumps({"sha256": _checksum(facts), "facts": facts}, indent=1)
        write_text(part / FACTS, text)
        remove_state(path)
        act_on(path, lambda: part.rename(path))
        act_on(path, lambda: bring_to_disk(path.parent))
    except BaseException:
        remove_state(part)
        raise


def read_state(path: Path) -> State:
    """What was written, on the CPU; DamagedStateError where a byte of it is missing or another."""
    try:
        facts = _read_facts(path / FACTS)
        if facts.pop("sha256", {}).get(TENSORS) != _checksum_of_file(path / TENSORS):
            raise DamagedStateError(f"the checksum of {TENSORS} is another")
        return State(read_tensors(path / TENSORS), facts)
    except FileNotFoundError as error:
        raise DamagedStateError(f"{Path(error.filename).name} is missing") from error
    except (OSError, UserError) as error:
        raise DamagedStateError(f"{FACTS} or {TENSORS} cannot be read: {error}") from error


def _read_facts(path: Path) -> dict[str, dict[str, str]]:
    record = parse_json(read_text(path, most_bytes=_MOST_BYTES_OF_FACTS), where=FACTS)
    facts = record.get("facts") if isinstance(record, dict) else None
    if not isinstance(record, dict) or not isinstance(facts, dict):
        raise DamagedStateError(f"{FACTS} holds no facts")
    for name, group in facts.items():
        if not isinstance(group, dict) or not all(isinstance(v, str) for v in group.values()):
            raise DamagedStateError(f"{FACTS}: {name} is no group of texts")
    if record.get("sha256") != _checksum(facts):
        raise DamagedStateError(f"the checksum of {FACTS} is another")
    return facts


def _checksum_of_file(path: Path) -> str:
    require_plain(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checksum(facts: Facts) -> str:
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
